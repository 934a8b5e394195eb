// Callbacks of futures, and coroutines that await them.
#include "detached.hpp"
#include "pool_tasks.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/completion.hpp>

namespace process_pool_callbacks_test {
namespace {  // g++ warns of coroutines in a named one

using namespace retinue_test;
using retinue::Future;
using retinue::ProcessPool;
using retinue::TaskTimeout;
using retinue::WorkerDied;

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
  for (int i = 0; i < 2000 / kSlowdown; ++i)
    pool.submit(square, i % 10).on_done([&](Future<int>& f) { sum += f.get(); });
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
  f.on_done([&](Future<int>&) {
    ++calls;
    throw std::runtime_error("dropped");
  });
  f.on_done([&](Future<int>&) {
    ++calls;
    throw 1;
  });
  board().gate.store(1);
  EXPECT_TRUE(eventually([&] { return calls.load() == 2; }));
  EXPECT_NO_THROW(f.on_done([&](Future<int>&) {
    ++calls;
    throw std::runtime_error("dropped at once");
  }));
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
    auto dies = pool.submit([] {
      nap(50ms);
      std::raise(SIGKILL);
      return 0;
    });
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

TEST(ProcessPoolFuture, callbacks_pending_when_the_pool_ends_are_still_called) {
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
  EXPECT_TRUE(eventually([&] { return std::ranges::all_of(results, [](auto& r) { return r.load() == 3'022'870; }); },
                         20s * kPatience));
}

}  // namespace
}  // namespace process_pool_callbacks_test
