// The same at random moments: while the program starts, forks its fork server and workers, works, and ends its pool.
#include "interruptions.hpp"

#include <random>

namespace random_moments_test {

using namespace retinue_test;

/// One seed for all that is random here; the environment gives it again.
std::uint64_t seed() {
  static const std::uint64_t chosen = [] {
    const char* given = std::getenv("RETINUE_TEST_SEED");
    return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  }();
  return chosen;
}

class AtARandomMoment : public ::testing::TestWithParam<std::size_t> {
 protected:
  static constexpr int kRounds = 16 / kSlowdown;
  const Interruption& interruption = kInterruptions[GetParam()];
  std::mt19937_64 random{seed() + GetParam()};
  std::chrono::microseconds moment(int most) {
    return std::chrono::microseconds(random() % static_cast<unsigned>(most));
  }
};

INSTANTIATE_TEST_SUITE_P(Interruptions, AtARandomMoment, ::testing::Range<std::size_t>(0, kInterruptions.size()));

TEST_P(AtARandomMoment, of_its_start_a_program_leaves_nothing) {
  for (int i = 0; i < kRounds; ++i) {
    Terminal terminal(program("lives"));
    nap(moment(12'000 * kPatience));
    interruption.apply(terminal);
    const TerminalEnd end = terminal.end();
    EXPECT_TRUE(end.died_of(interruption.signal))
        << interruption.name << ", seed " << seed() << ", round " << i << ": " << end;
    EXPECT_TRUE(end.clean()) << interruption.name << ", seed " << seed() << ", round " << i << ": " << end;
  }
}

TEST_P(AtARandomMoment, between_pools_that_start_and_end_a_program_leaves_nothing) {
  for (int i = 0; i < kRounds; ++i) {
    const bool handles = i % 2 == 1 && interruption.signal != SIGKILL;
    Terminal terminal(program("lives", handles ? "handler" : ""));
    ASSERT_TRUE(terminal.shows("reached lives\r\n")) << terminal.shown();
    nap(moment(10'000 * kPatience));
    interruption.apply(terminal);
    const TerminalEnd end = terminal.end();
    if (handles)
      EXPECT_TRUE(end.exited_with(40)) << interruption.name << ", seed " << seed() << ", round " << i << ": " << end;
    else
      EXPECT_TRUE(end.died_of(interruption.signal))
          << interruption.name << ", seed " << seed() << ", round " << i << ": " << end;
    EXPECT_TRUE(end.clean()) << interruption.name << ", seed " << seed() << ", round " << i << ": " << end;
  }
}

}  // namespace random_moments_test
