// What a task's limits of time count: the function, and not what must be loaded before it can be called.
#include "pool_tasks.hpp"

#include <chrono>
#include <ctime>
#include <ranges>
#include <string>
#include <vector>

#include "processes/loading_limit.hpp"

namespace retinue_test {

/// Takes its time to be read: `naps` milliseconds asleep, or `spins` milliseconds of CPU time.
struct Slow {
  int naps = 0, spins = 0;
};

inline std::clock_t cpu_milliseconds() { return std::clock() / (CLOCKS_PER_SEC / 1000); }

}  // namespace retinue_test

template <>
struct retinue::Codec<retinue_test::Slow> {
  template <class W>
  static void write(W& w, const retinue_test::Slow& slow) {
    w.value(slow.naps);
    w.value(slow.spins);
  }
  static retinue_test::Slow read(Reader& r) {
    retinue_test::Slow slow{r.value<int>(), r.value<int>()};
    retinue_test::nap(std::chrono::milliseconds(slow.naps));
    const auto until = retinue_test::cpu_milliseconds() + slow.spins;
    while (retinue_test::cpu_milliseconds() < until) {
    }
    return slow;
  }
};

namespace {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::TaskTimeout;
using retinue::WorkerDied;

int take(const Slow& slow) { return slow.naps; }
int take_large(const Slow& slow, const std::vector<int>& large) { return slow.naps + static_cast<int>(large.size()); }
void take_and_stay(const Slow&) { spin_for_ever(); }

/// What loading may take at the least, for one test.
class LoadingLimit {
 public:
  explicit LoadingLimit(std::chrono::nanoseconds time) { retinue::detail::set_least_loading_limit(time); }
  ~LoadingLimit() { retinue::detail::set_least_loading_limit(60s); }
  LoadingLimit(const LoadingLimit&) = delete;
  LoadingLimit& operator=(const LoadingLimit&) = delete;
};

TEST(ProcessPoolLoading, does_not_count_for_a_timeout) {
  ProcessPool pool(1);
  auto timed = pool.with({.timeout = 500ms * kPatience});
  const int naps = 700 * kPatience;
  EXPECT_EQ(timed.submit(take, Slow{naps}).get(), naps);
  EXPECT_EQ(timed.submit(take_large, Slow{naps}, std::vector<int>(1000)).get(), naps + 1000) << "in a block";
  EXPECT_EQ(timed.with({.retries = 1}).submit(take, Slow{naps}).get(), naps);
  for (int n : timed.map(take, std::vector<Slow>(2, Slow{naps}))) EXPECT_EQ(n, naps);
  EXPECT_EQ(pool.stats().workers_started, 1u);
}

TEST(ProcessPoolLoading, leaves_the_function_its_own_time_and_no_more) {
  ProcessPool pool(1);
  auto e = thrown_by<TaskTimeout>([&] { pool.with({.timeout = 50ms}).submit(take_and_stay, Slow{200}).get(); });
  ASSERT_TRUE(e);
  EXPECT_EQ(std::string(e->what()).find("loading"), std::string::npos) << e->what();
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPoolLoading, has_a_limit_of_its_own) {
  const LoadingLimit limit(100ms);
  ProcessPool pool(1);
  auto e = thrown_by<TaskTimeout>([&] { pool.with({.timeout = 20ms}).submit(take, Slow{60'000}).get(); });
  ASSERT_TRUE(e);
  EXPECT_NE(std::string(e->what()).find("while loading"), std::string::npos) << e->what();
  EXPECT_NE(std::string(e->what()).find("0.1"), std::string::npos) << e->what();
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPoolLoading, may_take_as_long_as_the_task_where_that_is_longer) {
  const LoadingLimit limit(1ms);
  ProcessPool pool(1);
  EXPECT_EQ(pool.with({.timeout = 60s * kPatience}).submit(take, Slow{200}).get(), 200);
  auto e = thrown_by<TaskTimeout>([&] { pool.with({.timeout = 100ms}).submit(take, Slow{60'000}).get(); });
  ASSERT_TRUE(e);
  EXPECT_NE(std::string(e->what()).find("while loading"), std::string::npos) << e->what();
}

TEST(ProcessPoolLoading, that_never_ends_for_one_task_leaves_the_next_its_own_time) {
  const LoadingLimit limit(100ms);
  ProcessPool pool(1);
  auto timed = pool.with({.timeout = 100ms});
  auto stuck = timed.submit(take, Slow{60'000});
  auto after = timed.with({.timeout = 30s * kPatience}).submit(square, 3);
  EXPECT_THROW(stuck.get(), TaskTimeout);
  EXPECT_EQ(after.get(), 9);
  EXPECT_THROW(timed.submit([] { spin_for_ever(); }).get(), TaskTimeout);
}

TEST(ProcessPoolLoading, does_not_count_for_the_cpu_time_of_workers) {
  retinue::ProcessPoolOptions options;
  options.workers = 1;
  options.limits.cpu_time = 1s;
  ProcessPool pool(options);
  EXPECT_EQ(pool.submit(take_large, Slow{.spins = 2500}, std::vector<int>(1000)).get(), 1000);
  auto e = thrown_by<WorkerDied>([&] { pool.submit(take_and_stay, Slow{.spins = 10}).get(); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->signal(), SIGXCPU);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

}  // namespace
