// Options of tasks: what is given adds up, and what has passed has passed.
#include "pool_tasks.hpp"

#include <atomic>
#include <chrono>
#include <ranges>
#include <string>
#include <vector>

#include <retinue/as_completed.hpp>
#include <retinue/serial_executor.hpp>
#include <retinue/thread_pool.hpp>
#include <retinue/wait.hpp>

namespace {

using namespace retinue_test;
using retinue::FutureStatus;
using retinue::ProcessPool;
using retinue::SerialExecutor;
using retinue::TaskOptions;
using retinue::TaskTimeout;
using retinue::ThreadPool;
using retinue::WorkerDied;

/// An executor that records what it was asked for.
class Recorder : public retinue::ExecutorInterface<Recorder> {
 public:
  unsigned workers() const noexcept { return 1; }
  template <class F, class... A>
  auto submit_task(const TaskOptions& options, F&& f, A&&... args) {
    last = options;
    return SerialExecutor().submit(std::forward<F>(f), std::forward<A>(args)...);
  }
  template <class F, class... Rs>
  auto map_tasks(const TaskOptions& options, retinue::detail::Order, F&& f, Rs&&... inputs) {
    last = options;
    return SerialExecutor().map(std::forward<F>(f), std::forward<Rs>(inputs)...);
  }
  TaskOptions last;
};

TEST(TaskOptions, add_up_whatever_their_order) {
  Recorder executor;
  const auto expect_all = [&executor] {
    EXPECT_EQ(executor.last.timeout, std::chrono::nanoseconds(100ms));
    EXPECT_EQ(executor.last.retries, 2u);
    EXPECT_EQ(executor.last.look_ahead, 7u);
    executor.last = {};
  };
  executor.with({.retries = 2}).with({.timeout = 100ms}).with({.look_ahead = 7}).submit(square, 1);
  expect_all();
  executor.with({.look_ahead = 7}).with({.timeout = 100ms}).with({.retries = 2}).map(square, std::vector{1});
  expect_all();
  executor.with({.timeout = 100ms, .look_ahead = 7}).with({.retries = 2}).map_unordered(square, std::vector{1});
  expect_all();
}

TEST(TaskOptions, the_later_one_counts_also_where_it_is_what_an_executor_does_anyway) {
  Recorder executor;
  executor.with({.timeout = 1s, .retries = 5}).with({.timeout = 0s, .retries = 0}).submit(square, 1);
  EXPECT_EQ(executor.last.timeout, std::chrono::nanoseconds(0));
  EXPECT_EQ(executor.last.retries, 0u);
  executor.with({.timeout = 1s}).with({}).submit(square, 1);
  EXPECT_EQ(executor.last.timeout, std::chrono::nanoseconds(1s)) << "nothing was given";
}

TEST(TaskOptions, an_executor_with_options_may_be_kept_when_the_one_it_came_from_is_gone) {
  Recorder executor;
  auto kept = [&executor] {
    auto first = executor.with({.retries = 3});
    return first.with({.timeout = 5ms});
  }();
  kept.submit(square, 1);
  EXPECT_EQ(executor.last.retries, 3u);
  EXPECT_EQ(executor.last.timeout, std::chrono::nanoseconds(5ms));
}

TEST(TaskOptions, a_process_pool_does_both) {
  ProcessPool pool(1);
  for (const bool timeout_first : {true, false}) {
    auto both = timeout_first ? pool.with({.timeout = 100ms}).with({.retries = 2})
                              : pool.with({.retries = 2}).with({.timeout = 100ms});
    EXPECT_THROW(both.submit([] { spin_for_ever(); }).get(), TaskTimeout);
    const auto retried = pool.stats().retried;
    EXPECT_THROW(both.with({.timeout = 60s * kPatience}).submit(leave_with, 3).get(), WorkerDied);
    EXPECT_EQ(pool.stats().retried, retried + 2);
  }
}

TEST(TaskOptions, a_thread_pool_keeps_the_timeout_that_came_first) {
  ThreadPool pool(1);
  EXPECT_THROW(pool.with({.timeout = 20ms}).with({.look_ahead = 3}).submit([] { nap(500ms); }).get(), TaskTimeout);
}

// What has passed -----------------------------------------------------------------------------------

template <class E>
void expect_that_nothing_runs(E& executor) {
  std::vector<int> inputs{1, 2, 3};
  for (const auto time :
       {std::chrono::nanoseconds(-1), std::chrono::nanoseconds(-1h), std::chrono::nanoseconds::min()}) {
    auto late = executor.with({.timeout = time});
    auto e = thrown_by<TaskTimeout>([&] { late.submit([](int) { board().counters[0].fetch_add(1); }, 1).get(); });
    ASSERT_TRUE(e);
    EXPECT_NE(std::string(e->what()).find("passed"), std::string::npos) << e->what();
    for (const bool ordered : {true, false}) {
      const auto body = [](int x) {
        board().counters[0].fetch_add(1);
        return x;
      };
      auto map = ordered ? late.map(body, inputs) : late.map_unordered(body, inputs);
      int failed = 0;
      for (auto& outcome : map.outcomes()) {
        EXPECT_THROW(outcome.value(), TaskTimeout);
        ++failed;
      }
      EXPECT_EQ(failed, 3);
    }
  }
  EXPECT_EQ(board().counters[0].load(), 0) << "none was run";
  EXPECT_EQ(executor.submit(square, 3).get(), 9);
}

TEST(TaskOptions, a_negative_timeout_has_passed_for_a_process_pool) {
  ProcessPool pool(1);
  const auto workers = pool.worker_pids();
  expect_that_nothing_runs(pool);
  EXPECT_EQ(pool.worker_pids(), workers) << "nobody was killed for it";
  std::atomic<bool> called{false};
  pool.with({.timeout = -1s}).submit(square, 1).on_done([&](retinue::Future<int>&) { called = true; });
  EXPECT_TRUE(called) << "at once, for it has ended";
  pool.shutdown();
  EXPECT_THROW(pool.with({.timeout = -1s}).submit(square, 1), retinue::PoolClosed);
}

TEST(TaskOptions, a_negative_timeout_has_passed_for_a_thread_pool) {
  ThreadPool pool(2);
  expect_that_nothing_runs(pool);
}

TEST(TaskOptions, a_negative_timeout_has_passed_for_a_serial_executor) {
  SerialExecutor serial;
  expect_that_nothing_runs(serial);
}

TEST(TaskOptions, a_wait_with_a_negative_timeout_does_not_wait) {
  ProcessPool pool(1);
  ThreadPool threads(1);
  std::vector<retinue::Future<void>> futures;
  futures.push_back(pool.submit([] { board().pass_gate(); }));
  futures.push_back(threads.submit([] { board().pass_gate(); }));
  const auto expect_timeout = [&futures](auto time) {
    for (auto& future : futures) EXPECT_EQ(future.wait_for(time), FutureStatus::timeout);
    EXPECT_EQ(retinue::wait_all(futures, time), FutureStatus::timeout);
    EXPECT_FALSE(retinue::wait_any(futures, time));
    int completed = 0;
    EXPECT_THROW(
        {
          for ([[maybe_unused]] auto& it : retinue::as_completed(futures, time)) ++completed;
        },
        retinue::Error);
    EXPECT_EQ(completed, 0);
  };
  expect_timeout(-1ns);
  expect_timeout(-1h);
  expect_timeout(std::chrono::hours::min());
  expect_timeout(std::chrono::duration<double>(-1e300));
  expect_timeout(std::chrono::nanoseconds::min());
  for (auto& future : futures)
    EXPECT_EQ(future.wait_until(std::chrono::steady_clock::time_point::min()), FutureStatus::timeout);
  board().gate.store(1);
  for (auto& future : futures) future.get();
  for (auto& future : futures) EXPECT_EQ(future.wait_for(-1s), FutureStatus::ready) << "for it is";
}

}  // namespace
