#include "process_watch.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include <retinue/process_pool.hpp>

namespace retinue_test {
namespace {

/// Sees to it that each test ends and leaves nothing.
class ProcessWatch : public ::testing::EmptyTestEventListener {
 public:
  void OnTestStart(const ::testing::TestInfo& test) override {
    std::snprintf(running(), kNameBytes, "%s.%s", test.test_suite_name(), test.name());
    board().clear();
    struct sigaction action{};
    action.sa_handler = [](int) { report_hang(); };
    ::sigaction(SIGALRM, &action, nullptr);
    ::alarm(50 * kPatience);
    before_ = Holdings::of_this_process();
  }

  void OnTestEnd(const ::testing::TestInfo&) override {
    board().gate.store(1);
    std::string left;
    eventually(
        [&] {
          left = Holdings::of_this_process().beyond(before_);
          return left.empty();
        },
        5s * kPatience);
    ::alarm(0);
    EXPECT_EQ(left, "") << "is left behind by this test";
    // What this test left is not the next one's to answer for.
    for (const auto& [pid, info] : descendants_of(::getpid()))
      if (before_.processes.count(pid) == 0) ::kill(pid, SIGKILL);
  }

 private:
  static constexpr std::size_t kNameBytes = 256;
  static char* running() {
    static char name[kNameBytes];
    return name;
  }
  static void report_hang() {
    const auto say = [](const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); };
    say("\nTHIS TEST HANGS: ");
    say(running());
    say("\n");
    const char* const wait = std::getenv("RETINUE_TEST_HANG");
    while (wait != nullptr && std::strcmp(wait, "wait") == 0) ::pause();
    ::signal(SIGABRT, SIG_DFL);
    std::abort();
  }

  Holdings before_;
};

/// What a process makes once and keeps (its region, its doorbell, tables of symbols) is made before the first test.
class FirstPool : public ::testing::Environment {
 public:
  void SetUp() override {
    run_if_alone();
    board();
    retinue::ProcessPool pool(1);
    pool.submit([] { return 0; }).wait();
  }
};

}  // namespace

bool watch_processes() {
  ::testing::UnitTest::GetInstance()->listeners().Append(new ProcessWatch);
  ::testing::AddGlobalTestEnvironment(new FirstPool);
  return true;
}

}  // namespace retinue_test
