// Tasks, futures and maps on the threads of a ThreadPool.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <numeric>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <retinue/cpu_count.hpp>
#include <retinue/thread_pool.hpp>
#include <retinue/wait.hpp>

namespace thread_pool_test {
namespace {  // g++ warns of coroutines in a named one

using namespace std::chrono_literals;
using retinue::FutureStatus;
using retinue::TaskOptions;
using retinue::ThreadPool;

constexpr auto kSoon = 20s;  // far more than any of it takes, also under sanitizers on a busy machine

static_assert(retinue::Executor<ThreadPool>);

int square(int x) { return x * x; }

template <class R>
R get_soon(const retinue::Future<R>& future) {
  if (future.wait_for(kSoon) != FutureStatus::ready) throw std::runtime_error("the task did not end in time");
  return future.get();
}

template <class Condition>
bool soon(Condition&& condition) {
  for (const auto end = std::chrono::steady_clock::now() + kSoon; std::chrono::steady_clock::now() < end;) {
    if (condition()) return true;
    std::this_thread::sleep_for(100us);
  }
  return false;
}

// Keeps tasks until it is opened, so that tests need no guesses about time.
class Gate {
 public:
  void open() { open_ = true; }
  bool reached() const {
    return soon([this] { return reached_.load(); });
  }
  void pass() {
    reached_ = true;
    if (!soon([this] { return open_.load(); })) throw std::runtime_error("nobody opened the gate");
  }
  auto task() {
    return [this] { pass(); };
  }

 private:
  std::atomic<bool> open_{false}, reached_{false};
};

TEST(ThreadPool, has_a_thread_for_each_cpu_unless_told_otherwise) {
  EXPECT_EQ(ThreadPool().workers(), retinue::cpu_count());
  EXPECT_EQ(ThreadPool(3).workers(), 3U);
}

TEST(ThreadPool, runs_tasks_with_values_voids_references_and_move_only_types) {
  ThreadPool pool(2);
  EXPECT_EQ(get_soon(pool.submit(square, 7)), 49);
  int touched = 0;
  get_soon(pool.submit([](int& x) { x = 5; }, std::ref(touched)));
  EXPECT_EQ(touched, 5);
  auto doubled = pool.submit(
      [](std::unique_ptr<int> p) {
        *p *= 2;
        return p;
      },
      std::make_unique<int>(21));
  EXPECT_EQ(*get_soon(doubled), 42);
  EXPECT_THROW(doubled.get(), retinue::Error);
  auto text = pool.submit([] { return std::string(1000, 'x'); });
  EXPECT_EQ(get_soon(text).size(), 1000U);
  EXPECT_EQ(text.get().size(), 1000U) << "a value that can be copied may be had again";
}

TEST(ThreadPool, gives_the_very_exception_a_task_threw) {
  struct Odd : std::runtime_error {
    using std::runtime_error::runtime_error;
  };
  ThreadPool pool(1);
  auto odd = pool.submit([](int) -> int { throw Odd("how odd"); }, 1);
  EXPECT_THROW(get_soon(odd), Odd);
  EXPECT_THROW(odd.get(), Odd);
  EXPECT_EQ(get_soon(pool.submit(square, 3)), 9);
}

TEST(ThreadPool, one_thread_runs_tasks_in_the_order_of_submission) {
  ThreadPool pool(1);
  std::vector<int> order;
  for (int i = 0; i < 1000; ++i) pool.submit([&order, i] { order.push_back(i); });
  get_soon(pool.submit([] {}));
  std::vector<int> expected(1000);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order, expected);
}

TEST(ThreadPool, runs_a_task_once_however_many_threads_submit) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> runs(8000);
  {
    std::vector<std::jthread> submitters;
    for (int t = 0; t < 4; ++t) {
      submitters.emplace_back([&pool, &runs, t] {
        std::vector<retinue::Future<void>> futures;
        for (int i = 0; i < 2000; ++i)
          futures.push_back(pool.submit([&runs, n = t * 2000 + i] { ++runs[static_cast<std::size_t>(n)]; }));
        EXPECT_EQ(retinue::wait_all(futures, kSoon), FutureStatus::ready);
      });
    }
  }
  for (const auto& n : runs) ASSERT_EQ(n, 1);
}

TEST(ThreadPool, nothing_waits_behind_a_slow_task_while_a_thread_is_free) {
  ThreadPool pool(2);
  Gate gate;
  auto slow = pool.submit(gate.task());
  std::vector<retinue::Future<int>> quick;
  for (int i = 0; i < 500; ++i) quick.push_back(pool.submit(square, i));
  EXPECT_EQ(retinue::wait_all(quick, kSoon), FutureStatus::ready);
  EXPECT_FALSE(slow.done());
  gate.open();
  get_soon(slow);
}

TEST(ThreadPool, as_many_tasks_block_at_once_as_there_are_workers) {
  ThreadPool pool(8);
  std::atomic<int> inside = 0;
  std::vector<retinue::Future<bool>> futures;
  for (int i = 0; i < 8; ++i)
    futures.push_back(pool.submit([&] {
      ++inside;
      return soon([&] { return inside == 8; });
    }));
  for (auto& f : futures) EXPECT_TRUE(get_soon(f));
}

TEST(ThreadPool, never_runs_more_tasks_at_once_than_it_has_workers) {
  ThreadPool pool(2);
  std::atomic<int> now = 0, most = 0;
  std::vector<retinue::Future<void>> futures;
  for (int i = 0; i < 300; ++i) {
    futures.push_back(pool.submit([&] {
      const int n = ++now;
      for (int m = most; m < n && !most.compare_exchange_weak(m, n);) {
      }
      std::this_thread::sleep_for(50us);
      --now;
    }));
  }
  EXPECT_EQ(retinue::wait_all(futures, kSoon), FutureStatus::ready);
  EXPECT_LE(most, 2);
}

TEST(ThreadPool, cancels_what_has_not_started_and_only_that) {
  ThreadPool pool(1);
  Gate gate;
  std::atomic<bool> ran = false;
  auto held = std::make_shared<int>(1);
  auto running = pool.submit(gate.task());
  ASSERT_TRUE(gate.reached());
  auto waiting = pool.submit([&ran, held] { ran = true; });
  EXPECT_TRUE(waiting.cancel());
  EXPECT_TRUE(waiting.cancel());
  EXPECT_TRUE(waiting.cancelled());
  EXPECT_EQ(held.use_count(), 1) << "what the task captured is released at once";
  EXPECT_THROW(waiting.get(), retinue::Cancelled);
  EXPECT_FALSE(running.cancel(true));
  gate.open();
  get_soon(running);
  EXPECT_FALSE(running.cancel());
  get_soon(pool.submit(square, 1));
  EXPECT_FALSE(ran);
  EXPECT_EQ(pool.stats().cancelled, 1U);
}

TEST(ThreadPool, a_task_past_its_timeout_ends_while_its_thread_goes_on_and_costs_no_place) {
  Gate gate;
  std::atomic<bool> finished = false;
  ThreadPool pool(1);
  auto stuck = pool.with({.timeout = 20ms}).submit([&] {
    gate.pass();
    finished = true;
  });
  EXPECT_THROW(get_soon(stuck), retinue::TaskTimeout);
  EXPECT_EQ(get_soon(pool.submit(square, 4)), 16) << "another thread has taken its place";
  EXPECT_FALSE(finished);
  gate.open();
  EXPECT_TRUE(soon([&] { return finished.load(); }));
  EXPECT_EQ(get_soon(pool.with({.timeout = 10s}).submit(square, 5)), 25);
}

TEST(ThreadPool, does_not_wait_for_overdue_tasks_when_it_ends) {
  auto gate = std::make_shared<Gate>();
  std::weak_ptr<Gate> alive = gate;
  {
    ThreadPool pool(1);
    auto stuck = pool.with({.timeout = 10ms}).submit([gate] { gate->pass(); });
    EXPECT_THROW(get_soon(stuck), retinue::TaskTimeout);
  }
  gate->open();
  gate.reset();
  EXPECT_TRUE(soon([&] { return alive.expired(); }));
  std::this_thread::sleep_for(10ms);  // its detached thread is at its end; leave it time for the last steps
}

TEST(ThreadPool, a_task_may_wait_for_tasks_of_its_own_pool_of_one) {
  ThreadPool pool(1);
  struct Fib {
    ThreadPool& pool;
    int operator()(int n) const {
      if (n < 2) return n;
      auto left = pool.submit(*this, n - 1);
      const int right = (*this)(n - 2);
      return left.get() + right;
    }
  };
  EXPECT_EQ(get_soon(pool.submit(Fib{pool}, 15)), 610);
}

TEST(ThreadPool, a_task_may_map_over_its_own_pool_of_one) {
  ThreadPool pool(1);
  auto sum = pool.submit([&pool] {
    long total = 0;
    for (int s : pool.map(square, std::views::iota(0, 1000))) total += s;
    for (int s : pool.map_unordered(square, std::views::iota(0, 1000))) total += s;
    return total + pool.map_reduce(square, std::views::iota(0, 1000), 0L);
  });
  EXPECT_EQ(get_soon(sum), 3 * 332'833'500L);
}

TEST(ThreadPool, a_task_that_waits_does_not_keep_its_place_from_what_it_waits_for) {
  // The thread waits for something that only a queued task, whose future it does not hold, brings about.
  ThreadPool pool(1), other(1);
  Gate gate;
  auto elsewhere = other.submit(gate.task());
  auto waits = pool.submit([&] {
    elsewhere.get();
    return 1;
  });
  auto opens = pool.submit([&] { gate.open(); });
  EXPECT_EQ(get_soon(waits), 1);
  get_soon(opens);
}

TEST(ThreadPool, a_task_is_not_buried_under_one_that_waits_for_it) {
  ThreadPool pool(2);
  Gate gate;
  retinue::Future<int> inner, first;
  std::atomic<bool> ready = false, started = false;
  first = pool.submit([&] {
    inner = pool.submit([&] {
      started = true;
      gate.pass();
      return 1;
    });
    if (!soon([&] { return started.load(); })) throw std::runtime_error("inner did not start");
    return inner.get() + 1;
  });
  auto second = pool.submit([&] {
    if (!soon([&] { return ready.load(); })) throw std::runtime_error("not notified");
    return first.get() + 1;
  });
  ready = true;
  std::this_thread::sleep_for(5ms);
  gate.open();
  EXPECT_EQ(get_soon(second), 3);
}

TEST(ThreadPool, timed_waits_in_a_task_end_on_time) {
  ThreadPool pool(1);
  Gate gate;
  auto waits = pool.submit([&] {
    auto inner = pool.submit(gate.task());
    const auto status = inner.wait_for(20ms);
    gate.open();
    inner.get();
    return status;
  });
  EXPECT_EQ(get_soon(waits), FutureStatus::timeout);
}

TEST(ThreadPool, a_thousand_tasks_may_wait_for_one) {
  ThreadPool pool(2);
  Gate gate;
  auto one = pool.submit([&gate] {
    gate.pass();
    return 7;
  });
  std::vector<retinue::Future<int>> many;
  for (int i = 0; i < 1000; ++i) many.push_back(pool.submit([&one] { return one.get(); }));
  std::this_thread::sleep_for(20ms);
  gate.open();
  for (auto& f : many) ASSERT_EQ(get_soon(f), 7);
}

TEST(ThreadPool, calls_back_when_a_task_is_done_and_at_once_when_it_was) {
  ThreadPool pool(1);
  Gate gate;
  auto reported = pool.submit([&gate] {
    gate.pass();
    return 3;
  });
  std::mutex mutex;
  std::vector<int> calls;
  for (int i = 0; i < 3; ++i) {
    reported.on_done([&, i](retinue::Future<int>& f) {
      const std::lock_guard lock(mutex);
      calls.push_back(10 * i + f.get());
      if (i == 1) throw std::runtime_error("dropped");
    });
  }
  gate.open();
  EXPECT_TRUE(soon([&] {
    const std::lock_guard lock(mutex);
    return calls == std::vector{3, 13, 23};
  }));
  const auto here = std::this_thread::get_id();
  bool at_once = false;
  reported.on_done([&](retinue::Future<int>&) { at_once = std::this_thread::get_id() == here; });
  EXPECT_TRUE(at_once);
}

TEST(ThreadPool, finishes_what_was_submitted_when_it_ends_also_what_tasks_submit_meanwhile) {
  std::atomic<int> ran = 0;
  {
    ThreadPool pool(2);
    for (int i = 0; i < 100; ++i)
      pool.submit([&] {
        pool.submit([&] { ++ran; });
        ++ran;
      });
  }
  EXPECT_EQ(ran, 200);
}

TEST(ThreadPool, takes_nothing_after_a_shutdown) {
  ThreadPool pool(2);
  auto before = pool.submit(square, 2);
  auto range = pool.map(square, std::views::iota(0));
  EXPECT_EQ(*range.begin(), 0);
  pool.shutdown();
  pool.shutdown();
  EXPECT_EQ(before.get(), 4);
  EXPECT_THROW(pool.submit(square, 3), retinue::PoolClosed);
  EXPECT_THROW(pool.map(square, std::views::iota(0, 3)), retinue::PoolClosed);
  EXPECT_THROW(for ([[maybe_unused]] int s : range){}, retinue::PoolClosed);
}

TEST(ThreadPool, a_shutdown_can_cancel_what_has_not_started) {
  ThreadPool pool(1);
  Gate gate;
  auto running = pool.submit([&] {
    gate.pass();
    return 1;
  });
  ASSERT_TRUE(gate.reached());
  std::vector<retinue::Future<int>> waiting;
  for (int i = 0; i < 100; ++i) waiting.push_back(pool.submit(square, i));
  std::jthread ends([&] { pool.shutdown(true); });
  EXPECT_TRUE(soon([&] { return waiting.back().cancelled(); }));
  gate.open();
  EXPECT_EQ(get_soon(running), 1);
  for (auto& f : waiting) EXPECT_THROW(f.get(), retinue::Cancelled);
}

TEST(ThreadPool, ends_while_others_submit) {
  for (int round = 0; round < 50; ++round) {
    ThreadPool pool(2);
    std::vector<std::jthread> submitters;
    for (int t = 0; t < 2; ++t) {
      submitters.emplace_back([&pool] {
        std::vector<retinue::Future<int>> futures;
        try {
          for (int i = 0; i < 100'000; ++i) futures.push_back(pool.submit(square, i));
        } catch (const retinue::PoolClosed&) {
        }
        EXPECT_EQ(retinue::wait_all(futures, kSoon), FutureStatus::ready);
      });
    }
    std::this_thread::sleep_for(200us);
    pool.shutdown(round % 2 == 1);
  }
}

TEST(ThreadPool, may_be_dropped_by_one_of_its_own_tasks) {
  std::atomic<bool> gone = false;
  auto pool = std::make_shared<ThreadPool>(2);
  auto last = pool->submit([&gone, keep = pool]() mutable {
    std::this_thread::sleep_for(5ms);
    keep.reset();
    gone = true;
  });
  pool.reset();
  get_soon(last);
  EXPECT_TRUE(gone);
  std::this_thread::sleep_for(10ms);  // for the last steps of its detached threads
}

TEST(ThreadPool, runs_an_initializer_in_each_thread_and_throws_what_it_throws) {
  std::atomic<int> inits = 0;
  ThreadPool pool({.workers = 3, .initializer = [&] { ++inits; }, .name = "init-test"});
  EXPECT_EQ(inits, 3);
  EXPECT_EQ(get_soon(pool.submit(square, 2)), 4);
  EXPECT_THROW(ThreadPool({.workers = 2, .initializer = [] { throw std::domain_error("no"); }, .name = ""}),
               std::domain_error);
}

TEST(ThreadPool, is_closed_in_a_forked_child_and_keeps_working_in_the_parent) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer does not follow forks of threaded programs";
#endif
  ThreadPool pool(2);
  Gate gate;
  auto before = pool.submit(square, 2);
  before.wait();
  auto under_way = pool.submit([&] {
    gate.pass();
    return 1;
  });
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::alarm(20);
    int failures = 0;
    failures += before.get() != 4;
    try {
      under_way.get();
      ++failures;
    } catch (const retinue::PoolClosed&) {
    }
    try {
      pool.submit(square, 1);
      ++failures;
    } catch (const retinue::PoolClosed&) {
    }
    {
      [[maybe_unused]] const ThreadPool dropped = std::move(pool);
    }
    ThreadPool own(2);
    failures += own.submit(square, 5).get() != 25;
    ::_exit(failures);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  gate.open();
  EXPECT_EQ(get_soon(under_way), 1);
}

TEST(ThreadPool, an_idle_pool_uses_no_cpu) {
  ThreadPool pool(2);
  get_soon(pool.submit(square, 1));
  std::this_thread::sleep_for(50ms);
  const auto before = std::clock();
  std::this_thread::sleep_for(300ms);
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.01);
}

}  // namespace
}  // namespace thread_pool_test
