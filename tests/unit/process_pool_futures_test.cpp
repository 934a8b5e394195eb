// Futures of a pool: waiting, cancelling, any of several, any number of threads.
#include "pool_tasks.hpp"

#include <algorithm>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/completion.hpp>

namespace process_pool_futures_test {

using namespace retinue_test;
using retinue::Cancelled;
using retinue::Future;
using retinue::FutureStatus;
using retinue::ProcessPool;
using retinue::TaskTimeout;
using retinue::WorkerDied;

TEST(ProcessPoolFuture, an_empty_future_says_so) {
  Future<int> f;
  EXPECT_FALSE(f.valid());
  EXPECT_THROW(f.get(), retinue::Error);
  EXPECT_THROW(f.wait(), retinue::Error);
  EXPECT_THROW((void)f.done(), retinue::Error);
  EXPECT_THROW(f.cancel(), retinue::Error);
  ProcessPool pool(1);
  f = pool.submit(square, 3);
  EXPECT_TRUE(f.valid());
  Future<int> g = std::move(f);
  EXPECT_FALSE(f.valid());  // NOLINT(bugprone-use-after-move): what is tested
  EXPECT_EQ(g.get(), 9);
}

TEST(ProcessPoolFuture, waiting_with_a_limit_returns_what_it_found) {
  HeldPool held;
  auto& f = held.held[0];
  EXPECT_EQ(f.wait_for(0ms), FutureStatus::timeout);
  EXPECT_EQ(f.wait_for(20ms), FutureStatus::timeout);
  EXPECT_EQ(f.wait_for(-1s), FutureStatus::timeout);
  EXPECT_EQ(f.wait_until(Clock::now() - 1h), FutureStatus::timeout);
  EXPECT_FALSE(f.done());
  auto queued = held.pool.submit(square, 4);
  EXPECT_EQ(queued.wait_for(20ms), FutureStatus::timeout);
  held.open();
  EXPECT_EQ(f.wait_for(kSoon), FutureStatus::ready);
  EXPECT_EQ(queued.wait_for(kSoon), FutureStatus::ready);
  EXPECT_EQ(queued.wait_for(0ms), FutureStatus::ready);
  EXPECT_TRUE(f.done());
}

TEST(ProcessPoolFuture, a_wait_with_a_limit_is_not_longer_than_that) {
  HeldPool held;
  const auto start = Clock::now();
  EXPECT_EQ(held.held[0].wait_for(100ms), FutureStatus::timeout);
  const auto waited = Clock::now() - start;
  EXPECT_GE(waited, 100ms);
  EXPECT_LT(waited, kSoon);
}

TEST(ProcessPoolFuture, done_becomes_true_without_anyone_waiting) {
  ProcessPool pool(2);
  auto f = pool.submit(square, 3);
  EXPECT_TRUE(eventually([&] { return f.done(); }));
  std::vector<Future<int>> many;
  for (int i = 0; i < 20'000; ++i) many.push_back(pool.submit(square, 3));
  EXPECT_TRUE(eventually([&] { return many.back().done(); }));
  EXPECT_TRUE(eventually([&] { return std::ranges::all_of(many, [](auto& x) { return x.done(); }); }));
}

TEST(ProcessPoolFuture, several_threads_may_wait_for_one_future) {
  ProcessPool pool(2);
  for (int round = 0; round < 20; ++round) {
    board().gate.store(0);
    const auto f = pool.submit(gated, round);
    std::atomic<int> right{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t)
      threads.emplace_back([&, t] {
        if (t % 2) f.wait();
        if (f.get() == round) ++right;
      });
    nap(std::chrono::microseconds(round * 300));
    board().gate.store(1);
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(right.load(), 6);
  }
}

TEST(ProcessPoolFuture, threads_that_wait_for_different_futures_are_all_woken) {
  ProcessPool pool(4);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 12; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100 / kSlowdown; ++i) {
        auto f = pool.submit(
            [](int x) {
              nap(std::chrono::microseconds(x % 5 * 400));
              return x;
            },
            t * 1000 + i);
        if (f.get() == t * 1000 + i) ++right;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right.load(), 12 * (100 / kSlowdown));
}

TEST(ProcessPoolFuture, futures_outlive_their_pool) {
  std::vector<Future<std::string>> futures;
  {
    ProcessPool pool(2);
    for (int i = 0; i < 100; ++i)
      futures.push_back(pool.submit([](int k) { return std::string(static_cast<std::size_t>(k) * 100, 'x'); }, i));
    futures.push_back(pool.submit([]() -> std::string { throw std::out_of_range("kept"); }));
    futures.push_back(pool.submit([]() -> std::string { ::_exit(5); }));
  }
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_TRUE(futures[i].done());
    EXPECT_EQ(futures[i].get(), std::string(i * 100, 'x'));
  }
  EXPECT_THROW(futures[100].get(), std::out_of_range);
  auto e = thrown_by<WorkerDied>([&] { futures[101].get(); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->exit_code(), 5);
  EXPECT_FALSE(futures[0].cancel(true));
  bool called = false;
  futures[0].on_done([&](Future<std::string>&) { called = true; });
  EXPECT_TRUE(called);
}

TEST(ProcessPoolFuture, large_results_are_freed_with_their_future) {
  ProcessPool pool(2);
  {
    std::vector<Future<std::string>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit([] { return std::string(1'000'000, 'x'); }));
    for (auto& f : futures) f.wait();
    EXPECT_GE(pool.stats().bytes_in_use, 20'000'000u);
  }
  EXPECT_EQ(pool.stats().bytes_in_use, 0u);
}

// Cancelling ---------------------------------------------------------------------------------------

TEST(ProcessPoolFuture, a_task_that_has_not_started_is_cancelled) {
  HeldPool held;
  auto f = held.pool.submit([] { board().counters[0].fetch_add(1); });
  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(f.cancelled());
  EXPECT_TRUE(f.done());
  EXPECT_TRUE(f.cancel()) << "a second time says the same";
  EXPECT_THROW(f.get(), Cancelled);
  held.open();
  EXPECT_EQ(held.pool.submit(square, 2).get(), 4);
  EXPECT_EQ(board().counters[0].load(), 0) << "it never starts";
}

TEST(ProcessPoolFuture, a_task_that_waits_for_a_slot_is_cancelled) {
  HeldPool held;
  std::vector<Future<void>> futures;
  for (int i = 0; i < 500; ++i) futures.push_back(held.pool.submit([] { board().counters[0].fetch_add(1); }));
  for (std::size_t i = 0; i < 500; i += 2) EXPECT_TRUE(futures[i].cancel());
  held.open();
  for (std::size_t i = 0; i < 500; ++i) {
    if (i % 2 == 0) {
      EXPECT_THROW(futures[i].get(), Cancelled);
    } else {
      EXPECT_NO_THROW(futures[i].get());
    }
  }
  EXPECT_EQ(board().counters[0].load(), 250);
}

TEST(ProcessPoolFuture, tasks_behind_cancelled_ones_start_without_anyone_waiting) {
  HeldPool held;
  std::vector<Future<void>> futures;
  for (int i = 0; i < 300; ++i) futures.push_back(held.pool.submit([] { board().counters[0].fetch_add(1); }));
  for (std::size_t i = 0; i < 100; ++i) EXPECT_TRUE(futures[i].cancel());
  board().gate.store(1);
  EXPECT_TRUE(eventually([] { return board().counters[0].load() == 200; })) << board().counters[0].load();
}

TEST(ProcessPoolFuture, a_running_task_is_stopped_only_by_force) {
  HeldPool held;
  auto& f = held.held[0];
  const auto before = held.pool.worker_pids();
  EXPECT_FALSE(f.cancel());
  EXPECT_FALSE(f.cancelled());
  EXPECT_TRUE(f.cancel(true));
  EXPECT_THROW(f.get(), Cancelled);
  EXPECT_TRUE(f.cancelled());
  EXPECT_TRUE(f.cancel(true)) << "again";
  EXPECT_EQ(held.pool.submit(square, 3).get(), 9) << "its worker was replaced";
  EXPECT_FALSE(held.held[1].done()) << "its neighbour is unharmed";
  held.open();
  EXPECT_EQ(held.held[1].get(), 1);
  EXPECT_EQ(held.pool.stats().workers_died, 0u);
  EXPECT_EQ(held.pool.stats().cancelled, 1u);
}

TEST(ProcessPoolFuture, a_task_that_is_done_cannot_be_cancelled) {
  ProcessPool pool(1);
  auto f = pool.submit(square, 3);
  f.wait();
  EXPECT_FALSE(f.cancel());
  EXPECT_FALSE(f.cancel(true));
  EXPECT_FALSE(f.cancelled());
  EXPECT_EQ(f.get(), 9);
  auto g = pool.submit(square, 4);
  EXPECT_TRUE(eventually([&] { return g.done(); }));
  EXPECT_FALSE(g.cancel(true)) << "done, though nobody has read it";
  EXPECT_EQ(g.get(), 16);
}

TEST(ProcessPoolFuture, cancelling_at_any_moment_ends_the_task_once) {
  ProcessPool pool(2);
  int values = 0, cancelled = 0;
  const int n = 2000 / kSlowdown;
  for (int i = 0; i < n; ++i) {
    auto f = pool.submit(
        [](int k) {
          board().runs[k].fetch_add(1);
          return k;
        },
        i);
    if (i % 3) nap(std::chrono::microseconds(i % 40));
    const bool cancelled_in_time = f.cancel();
    try {
      EXPECT_EQ(f.get(), i);
      EXPECT_FALSE(cancelled_in_time);
      EXPECT_EQ(board().runs[i].load(), 1);
      ++values;
    } catch (const Cancelled&) {
      EXPECT_TRUE(cancelled_in_time);
      EXPECT_EQ(board().runs[i].load(), 0);
      ++cancelled;
    }
  }
  EXPECT_EQ(values + cancelled, n);
}

TEST(ProcessPoolFuture, forcing_at_any_moment_ends_the_task_once_and_harms_no_other) {
  ProcessPool pool(2);
  for (int i = 0; i < 60 / kSlowdown + 5; ++i) {
    auto other = pool.submit(
        [](int k) {
          nap(2ms);
          return k;
        },
        i);
    auto f = pool.submit(
        [](int k) {
          nap(std::chrono::microseconds(k * 40));
          return k;
        },
        i);
    nap(std::chrono::microseconds(i * 60));
    const bool stopped = f.cancel(true);
    try {
      EXPECT_EQ(f.get(), i);
      EXPECT_FALSE(stopped);
    } catch (const Cancelled&) {
      EXPECT_TRUE(stopped);
    }
    EXPECT_EQ(other.get(), i);
  }
}

TEST(ProcessPoolFuture, a_task_being_stopped_for_its_time_ends_as_timed_out) {
  ProcessPool pool(1);
  auto f = pool.with({.timeout = 30ms}).submit(gated, 1);
  f.wait();
  EXPECT_FALSE(f.cancel(true));
  EXPECT_FALSE(f.cancelled());
  EXPECT_THROW(f.get(), TaskTimeout);
}

// Any of several -----------------------------------------------------------------------------------

TEST(ProcessPoolFuture, the_first_of_several_is_waited_for) {
  HeldPool held;
  auto third = held.pool.with({.timeout = 0ms}).submit(square, 3);
  std::vector<retinue::detail::Completion*> set{held.held[0].completion(), third.completion(), nullptr};
  EXPECT_FALSE(retinue::detail::wait_for_any(set, Clock::now() + 20ms));
  ASSERT_TRUE(held.held[1].cancel(true));
  EXPECT_TRUE(retinue::detail::wait_for_any(set, std::nullopt)) << "its worker's replacement runs the third";
  EXPECT_EQ(third.get(), 9);
  held.open();
}

TEST(ProcessPoolFuture, futures_of_several_pools_are_waited_for_together) {
  ProcessPool a(1), b(1);
  auto f = a.submit(gated, 1);
  for (int i = 0; i < 200 / kSlowdown; ++i) {
    auto g = b.submit(
        [](int k) {
          nap(std::chrono::microseconds(k * 10));
          return k;
        },
        i);
    std::vector<retinue::detail::Completion*> set{f.completion(), g.completion()};
    ASSERT_TRUE(retinue::detail::wait_for_any(set, std::nullopt));
    EXPECT_TRUE(g.done());
    EXPECT_EQ(g.get(), i);
  }
  EXPECT_FALSE(f.done());
  board().gate.store(1);
  EXPECT_EQ(f.get(), 1);
}

}  // namespace process_pool_futures_test
