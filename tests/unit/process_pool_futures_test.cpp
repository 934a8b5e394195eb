// Futures of a pool: waiting, cancelling, callbacks, coroutines, any number of threads.
#include "process_watch.hpp"

#include <array>
#include <coroutine>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <retinue/detail/pool/completion.hpp>

namespace {

using namespace retinue_test;
using retinue::Cancelled;
using retinue::Future;
using retinue::FutureStatus;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::TaskTimeout;
using retinue::WorkerDied;

int square(int x) { return x * x; }
int gated(int x) {
  board().pass_gate();
  return x;
}

/// A pool whose every worker waits at the gate.
struct HeldPool {
  explicit HeldPool(unsigned workers = 2, std::size_t slots = 64) : pool(options(workers, slots)) {
    for (unsigned i = 0; i < workers; ++i) held.push_back(pool.submit(gated, static_cast<int>(i)));
    EXPECT_TRUE(eventually([&] { return board().at_gate.load() == static_cast<int>(workers); }));
  }
  ~HeldPool() { board().gate.store(1); }
  static ProcessPoolOptions options(unsigned workers, std::size_t slots) {
    ProcessPoolOptions o;
    o.workers = workers;
    o.slots = slots;
    return o;
  }
  void open() {
    board().gate.store(1);
    for (auto& f : held) f.wait();
  }
  ProcessPool pool;
  std::vector<Future<int>> held;
};

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

TEST(ProcessPoolFuture, waiting_with_a_limit_tells_what_it_found) {
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
        auto f = pool.submit([](int x) { nap(std::chrono::microseconds(x % 5 * 400)); return x; }, t * 1000 + i);
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

TEST(ProcessPoolFuture, a_task_that_has_not_started_is_taken_back) {
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

TEST(ProcessPoolFuture, a_task_that_waits_for_a_slot_is_taken_back) {
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
    auto f = pool.submit([](int k) { board().runs[k].fetch_add(1); return k; }, i);
    if (i % 3) nap(std::chrono::microseconds(i % 40));
    const bool taken_back = f.cancel();
    try {
      EXPECT_EQ(f.get(), i);
      EXPECT_FALSE(taken_back);
      EXPECT_EQ(board().runs[i].load(), 1);
      ++values;
    } catch (const Cancelled&) {
      EXPECT_TRUE(taken_back);
      EXPECT_EQ(board().runs[i].load(), 0);
      ++cancelled;
    }
  }
  EXPECT_EQ(values + cancelled, n);
}

TEST(ProcessPoolFuture, forcing_at_any_moment_ends_the_task_once_and_harms_no_other) {
  ProcessPool pool(2);
  for (int i = 0; i < 60 / kSlowdown + 5; ++i) {
    auto other = pool.submit([](int k) { nap(2ms); return k; }, i);
    auto f = pool.submit([](int k) { nap(std::chrono::microseconds(k * 40)); return k; }, i);
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

// Callbacks ----------------------------------------------------------------------------------------

TEST(ProcessPoolFuture, a_callback_gets_the_finished_future) {
  ProcessPool pool(2);
  std::atomic<int> seen{0};
  board().gate.store(0);
  auto f = pool.submit(gated, 7);
  f.on_done([&](Future<int>& g) { seen += g.get(); });
  f.on_done([&](Future<int>& g) { seen += 10 * g.get(); });
  EXPECT_EQ(seen.load(), 0);
  board().gate.store(1);
  EXPECT_TRUE(eventually([&] { return seen.load() == 77; }));
  f.on_done([&](Future<int>& g) { seen += 100 * g.get(); });
  EXPECT_EQ(seen.load(), 777) << "at once, for it is done";
}

TEST(ProcessPoolFuture, callbacks_of_dropped_futures_come_too) {
  ProcessPool pool(2);
  std::atomic<int> sum{0};
  for (int i = 0; i < 2000 / kSlowdown; ++i) pool.submit(square, i % 10).on_done([&](Future<int>& f) { sum += f.get(); });
  const int expected = 2000 / kSlowdown / 10 * 285;
  EXPECT_TRUE(eventually([&] { return sum.load() == expected; })) << sum.load();
}

TEST(ProcessPoolFuture, a_callback_may_be_moved_in_and_own_things) {
  ProcessPool pool(1);
  std::atomic<int> seen{0};
  auto shared = std::make_shared<int>(5);
  std::weak_ptr<int> weak = shared;
  pool.submit(square, 2).on_done([s = std::move(shared), &seen](Future<int>& f) { seen = *s + f.get(); });
  EXPECT_TRUE(eventually([&] { return seen.load() == 9; }));
  EXPECT_TRUE(eventually([&] { return weak.expired(); })) << "what it owned is freed after the call";
}

TEST(ProcessPoolFuture, every_ending_calls_back) {
  HeldPool held;
  std::atomic<int> calls{0};
  auto note = [&](auto& f) {
    f.on_done([&](auto& g) {
      EXPECT_TRUE(g.done());
      ++calls;
    });
  };
  auto waiting = held.pool.submit(square, 1);
  note(waiting);
  waiting.cancel();
  EXPECT_TRUE(eventually([&] { return calls.load() == 1; }));
  note(held.held[0]);
  held.held[0].cancel(true);
  EXPECT_TRUE(eventually([&] { return calls.load() == 2; }));
  auto died = held.pool.submit([] { std::raise(SIGKILL); });
  note(died);
  EXPECT_TRUE(eventually([&] { return calls.load() == 3; }));
  auto late = held.pool.with({.timeout = 20ms}).submit(gated, 1);
  note(late);
  EXPECT_TRUE(eventually([&] { return calls.load() == 4; }));
  auto threw = held.pool.submit([] { throw std::runtime_error("x"); });
  note(threw);
  EXPECT_TRUE(eventually([&] { return calls.load() == 5; }));
  held.open();
}

TEST(ProcessPoolFuture, what_a_callback_throws_is_dropped) {
  ProcessPool pool(1);
  std::atomic<int> calls{0};
  auto f = pool.submit(gated, 1);
  f.on_done([&](Future<int>&) { ++calls; throw std::runtime_error("dropped"); });
  f.on_done([&](Future<int>&) { ++calls; throw 1; });
  board().gate.store(1);
  EXPECT_TRUE(eventually([&] { return calls.load() == 2; }));
  EXPECT_NO_THROW(f.on_done([&](Future<int>&) { ++calls; throw std::runtime_error("dropped at once"); }));
  EXPECT_EQ(calls.load(), 3);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPoolFuture, callbacks_may_submit_more) {
  ProcessPool pool(2);
  std::atomic<int> depth{0};
  std::function<void(int)> next = [&](int level) {
    pool.submit(square, level).on_done([&, level](Future<int>& f) {
      EXPECT_EQ(f.get(), level * level);
      depth = level;
      if (level < 300 / kSlowdown) next(level + 1);
    });
  };
  next(1);
  EXPECT_TRUE(eventually([&] { return depth.load() == 300 / kSlowdown; }));
}

TEST(ProcessPoolFuture, a_callback_may_wait_for_another_task) {
  ProcessPool pool(1);
  std::atomic<int> seen{0};
  pool.submit(square, 2).on_done([&](Future<int>& f) {
    auto g = pool.submit(square, f.get() + 1);
    auto h = pool.with({.timeout = 30ms}).submit(gated, 1);
    auto k = pool.submit([] { std::raise(SIGKILL); });
    try {
      h.get();
    } catch (const TaskTimeout&) {
      seen += 1000;
    }
    try {
      k.get();
    } catch (const WorkerDied&) {
      seen += 100;
    }
    seen += g.get();
  });
  EXPECT_TRUE(eventually([&] { return seen.load() == 1125; })) << seen.load();
}

TEST(ProcessPoolFuture, a_callback_may_wait_for_many_waiting_tasks) {
  ProcessPool pool(HeldPool::options(2, 64));
  std::atomic<long> sum{0};
  pool.submit(square, 0).on_done([&](Future<int>&) {
    std::vector<Future<int>> futures;
    for (int i = 0; i < 2000; ++i) futures.push_back(pool.submit(square, 2));
    for (auto& f : futures) sum += f.get();
  });
  EXPECT_TRUE(eventually([&] { return sum.load() == 8000; })) << sum.load();
}

TEST(ProcessPoolFuture, a_callback_may_wait_for_any_of_several) {
  ProcessPool pool(2);
  std::atomic<int> seen{0};
  pool.submit(square, 0).on_done([&](Future<int>&) {
    auto dies = pool.submit([] { nap(50ms); std::raise(SIGKILL); return 0; });
    std::array<retinue::detail::Completion*, 1> one{dies.completion()};
    if (retinue::detail::wait_for_any(one, std::nullopt)) ++seen;
    auto late = pool.with({.timeout = 50ms}).submit(gated, 1);
    one[0] = late.completion();
    if (retinue::detail::wait_for_any(one, std::nullopt)) ++seen;
  });
  EXPECT_TRUE(eventually([&] { return seen.load() == 2; })) << seen.load();
  board().gate.store(1);
}

TEST(ProcessPoolFuture, a_callback_may_map) {
  ProcessPool pool(2);
  std::atomic<int> sum{0};
  pool.submit(square, 0).on_done([&](Future<int>&) {
    int s = 0;
    for (int y : pool.map(square, std::views::iota(0, 100))) s += y;
    for (int y : pool.map_unordered(square, std::views::iota(0, 100))) s += y;
    sum = s;
  });
  EXPECT_TRUE(eventually([&] { return sum.load() == 2 * 328'350; })) << sum.load();
}

TEST(ProcessPoolFuture, a_callback_may_drop_the_last_future_of_a_pool) {
  std::atomic<bool> called{false};
  auto pool = std::make_unique<ProcessPool>(1);
  auto f = std::make_shared<Future<int>>(pool->submit(gated, 1));
  f->on_done([f, &called](Future<int>&) mutable {
    f.reset();
    called = true;
  });
  f.reset();
  board().gate.store(1);
  pool.reset();
  EXPECT_TRUE(eventually([&] { return called.load(); }));
}

TEST(ProcessPoolFuture, a_callback_may_end_the_pool) {
  auto pool = std::make_unique<ProcessPool>(2);
  std::atomic<bool> ended{false};
  auto f = pool->submit(gated, 1);
  f.on_done([&](Future<int>&) {
    pool.reset();
    ended = true;
  });
  board().gate.store(1);
  EXPECT_TRUE(eventually([&] { return ended.load(); }));
}

TEST(ProcessPoolFuture, callbacks_owed_when_the_pool_ends_still_come) {
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> calls{0};
    {
      ProcessPool pool(2);
      for (int i = 0; i < 20; ++i)
        pool.submit(square, i).on_done([&](Future<int>&) {
          nap(20ms);
          ++calls;
        });
    }
    EXPECT_TRUE(eventually([&] { return calls.load() == 20; })) << calls.load();
  }
}

TEST(ProcessPoolFuture, callbacks_of_tasks_that_a_terminate_ends_come_too) {
  std::atomic<int> calls{0};
  {
    HeldPool held;
    for (auto& f : held.held) f.on_done([&](Future<int>&) { ++calls; });
    for (int i = 0; i < 200; ++i) held.pool.submit(square, i).on_done([&](Future<int>&) { ++calls; });
    held.pool.terminate();
  }
  EXPECT_TRUE(eventually([&] { return calls.load() == 202; })) << calls.load();
}

TEST(ProcessPoolFuture, callbacks_set_while_the_task_ends_come_once) {
  ProcessPool pool(2);
  std::atomic<int> calls{0};
  const int n = 3000 / kSlowdown;
  for (int i = 0; i < n; ++i) {
    auto f = pool.submit(square, i);
    if (i % 2) nap(std::chrono::microseconds(i % 20));
    f.on_done([&](Future<int>&) { ++calls; });
  }
  EXPECT_TRUE(eventually([&] { return calls.load() == n; })) << calls.load();
  nap(5ms);
  EXPECT_EQ(calls.load(), n);
}

// Coroutines ---------------------------------------------------------------------------------------

struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

Detached add_up(ProcessPool& pool, std::atomic<int>& result) {
  int sum = 0;
  for (int i = 1; i <= 20; ++i) sum += co_await pool.submit(square, i);
  auto named = pool.submit(square, 100);
  sum += co_await named;
  sum += co_await named;
  try {
    co_await pool.submit([] { throw std::out_of_range("within"); });
  } catch (const std::out_of_range&) {
    sum += 1'000'000;
  }
  co_await pool.submit([] {});
  try {
    co_await pool.submit([]() -> int { ::_exit(1); });
  } catch (const WorkerDied&) {
    sum += 2'000'000;
  }
  result = sum;
}

TEST(ProcessPoolFuture, coroutines_await_tasks) {
  ProcessPool pool(2);
  std::atomic<int> result{0};
  add_up(pool, result);
  EXPECT_TRUE(eventually([&] { return result.load() == 2870 + 20'000 + 3'000'000; })) << result.load();
}

TEST(ProcessPoolFuture, many_coroutines_at_once) {
  ProcessPool pool(2);
  std::deque<std::atomic<int>> results(50);
  for (auto& r : results) add_up(pool, r);
  EXPECT_TRUE(eventually([&] { return std::ranges::all_of(results, [](auto& r) { return r.load() == 3'022'870; }); }, 20s * kPatience));
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
    auto g = b.submit([](int k) { nap(std::chrono::microseconds(k * 10)); return k; }, i);
    std::vector<retinue::detail::Completion*> set{f.completion(), g.completion()};
    ASSERT_TRUE(retinue::detail::wait_for_any(set, std::nullopt));
    EXPECT_TRUE(g.done());
    EXPECT_EQ(g.get(), i);
  }
  EXPECT_FALSE(f.done());
  board().gate.store(1);
  EXPECT_EQ(f.get(), 1);
}

}  // namespace
