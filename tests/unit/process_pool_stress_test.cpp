// Many tasks, small rings, storms of faults: all that was submitted ends, once, with its own outcome.
#include "support/process_watch.hpp"

#include <algorithm>
#include <pthread.h>
#include <random>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <retinue/process_pool.hpp>

namespace process_pool_stress_test {

using namespace retinue_test;
using retinue::Cancelled;
using retinue::Future;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::TaskTimeout;
using retinue::WorkerDied;

constexpr int kMany = 300'000 / kSlowdown;

int twice(int x) { return 2 * x; }
ProcessPoolOptions small_ring(unsigned workers) {
  ProcessPoolOptions options;
  options.workers = workers;
  options.slot_count = 64;
  return options;
}

// Numbers ------------------------------------------------------------------------------------------

TEST(ProcessPoolStress, very_many_submits_read_one_by_one) {
  ProcessPool pool(2);
  const auto enough =
      Clock::now() + 10s;  // on a machine with more to run than processors a round trip takes two switches
  int i = 0;
  for (; i < kMany && Clock::now() < enough; ++i) ASSERT_EQ(pool.submit(twice, i).get(), 2 * i);
  EXPECT_EQ(pool.stats().finished, static_cast<std::uint64_t>(i));
}

TEST(ProcessPoolStress, very_many_submits_read_afterwards) {
  ProcessPool pool(2);
  std::vector<Future<int>> futures;
  for (int i = 0; i < kMany; ++i) futures.push_back(pool.submit(twice, i));
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), 2 * i);
}

TEST(ProcessPoolStress, a_backlog_without_a_consumer_is_read_backwards) {
  ProcessPool pool(small_ring(2));
  const int n = 200'000 / kSlowdown;
  std::vector<Future<int>> futures;
  for (int i = 0; i < n; ++i) futures.push_back(pool.submit(twice, i));
  EXPECT_EQ(futures.back().get(), 2 * (n - 1));
  for (int i = n - 1; i >= 0; --i) ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), 2 * i);
}

TEST(ProcessPoolStress, very_many_mapped_in_order) {
  ProcessPool pool(2);
  int i = 0;
  for (int y : pool.map(twice, std::views::iota(0, kMany))) {
    ASSERT_EQ(y, 2 * i);
    ++i;
  }
  EXPECT_EQ(i, kMany);
}

TEST(ProcessPoolStress, very_many_mapped_in_any_order) {
  ProcessPool pool(2);
  std::vector<bool> seen(static_cast<std::size_t>(kMany));
  for (auto& outcome : pool.map_unordered(twice, std::views::iota(0, kMany)).outcomes()) {
    ASSERT_EQ(outcome.value(), static_cast<int>(2 * outcome.index()));
    ASSERT_FALSE(seen[outcome.index()]);
    seen[outcome.index()] = true;
  }
  EXPECT_TRUE(std::ranges::all_of(seen, std::identity{}));
}

TEST(ProcessPoolStress, very_many_effects_happen_once_each) {
  ProcessPool pool(2);
  pool.for_each([](int i) { board().runs[i].fetch_add(1); }, std::views::iota(0, kMany));
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(board().runs[i].load(), 1) << i;
}

TEST(ProcessPoolStress, a_long_stream_needs_no_more_memory_than_a_short_one) {
  ProcessPool pool(2);
  auto resident = [] {
    std::istringstream statm(text_of("/proc/self/statm"));
    long total = 0, pages = 0;
    statm >> total >> pages;
    return pages * ::sysconf(_SC_PAGESIZE) / 1024 / 1024;
  };
  auto stream = [&](int n) {
    long sum = 0;
    for (int y : pool.map(twice, std::views::iota(0, n))) sum += y;
    for (int y : pool.map_unordered(twice, std::views::iota(0, n))) sum += y;
    return sum;
  };
  stream(kMany / 2);
  const long before = resident();
  EXPECT_GT(stream(kMany * 2), 0);
  EXPECT_LT(resident(), before + 10) << "MiB";
}

TEST(ProcessPoolStress, tiny_tasks_run_past_slow_ones_in_a_small_ring) {
  ProcessPool pool(small_ring(3));
  std::vector<Future<int>> futures;
  auto task = [](int x) {
    if (x % 97 == 0) nap(std::chrono::microseconds(x % 5 * 700));
    return 2 * x;
  };
  const int n = 30'000 / kSlowdown;
  for (int i = 0; i < n; ++i) {
    futures.push_back(pool.submit(task, i));
    if (i % 1000 == 999) {
      ASSERT_EQ(futures[static_cast<std::size_t>(i - 500)].get(), 2 * (i - 500));
    }
  }
  for (int i = 0; i < n; ++i) ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), 2 * i);
}

TEST(ProcessPoolStress, whichever_task_is_slow_those_that_wait_for_slots_start) {
  // The slow one ends only when all others have run, and nobody waits in the pool meanwhile.
  for (int slow = 0; slow < 66; ++slow) {
    board().clear();
    ProcessPool pool(small_ring(2));
    for (int i = 0; i < 300; ++i)
      pool.submit(
          [](bool waits) {
            while (waits && board().counters[0].load() < 299) nap();
            board().counters[0].fetch_add(1);
          },
          i == slow);
    ASSERT_TRUE(eventually([] { return board().counters[0].load() == 300; })) << "task " << slow << " is the slow one";
  }
}

TEST(ProcessPoolStress, more_workers_than_half_the_slots_work) {
  ProcessPool pool(small_ring(16));
  for (int round = 0; round < 5; ++round) {
    std::vector<Future<int>> futures;
    for (int i = 0; i < 2000 / kSlowdown; ++i)
      futures.push_back(pool.submit(
          [](int x) {
            if (x % 10 == 0) nap(300us);
            return x;
          },
          i));
    for (std::size_t i = 0; i < futures.size(); ++i) ASSERT_EQ(futures[i].get(), static_cast<int>(i));
  }
}

TEST(ProcessPoolStress, pauses_of_every_length_between_tasks_lose_no_wake_up) {
  for (const bool spins : {true, false}) {
    ProcessPoolOptions options = small_ring(2);
    if (!spins) options.spin = 0ns;
    ProcessPool pool(options);
    for (int i = 0; i < 3000 / kSlowdown; ++i) {
      if (i % 3) nap(std::chrono::microseconds(i % 150));
      auto a = pool.submit(twice, i);
      auto b = pool.submit(twice, i + 1);
      ASSERT_EQ(b.wait_for(kSoon), retinue::FutureStatus::ready) << i;
      ASSERT_EQ(a.wait_for(kSoon), retinue::FutureStatus::ready) << i;
      ASSERT_EQ(a.get() + b.get(), 4 * i + 2);
    }
  }
}

TEST(ProcessPoolStress, both_of_two_tasks_run_at_once) {
  // Each waits for the other: one worker asleep and never woken would be a hang.
  ProcessPool pool(2);
  auto meet = [](int round) {
    board().counters[0].fetch_add(1);
    while (board().counters[0].load() < 2 * round + 2) nap(20us);
    return round;
  };
  for (int i = 0; i < 2000 / kSlowdown; ++i) {
    if (i % 4 == 0) nap(std::chrono::microseconds(i % 300));
    auto a = pool.submit(meet, i), b = pool.submit(meet, i);
    ASSERT_EQ(a.wait_for(kSoon), retinue::FutureStatus::ready) << i;
    ASSERT_EQ(b.get(), i);
  }
}

TEST(ProcessPoolStress, both_of_two_mapped_tasks_run_at_once) {
  ProcessPool pool(2);
  auto meet = [](int i) {
    board().counters[0].fetch_add(1);
    while (board().counters[0].load() < (i / 2 + 1) * 2) nap(20us);
    return i;
  };
  int expected = 0;
  for (int y : pool.map(meet, std::views::iota(0, 2000 / kSlowdown))) ASSERT_EQ(y, expected++);
  EXPECT_EQ(expected, 2000 / kSlowdown);
}

// Storms -------------------------------------------------------------------------------------------

TEST(ProcessPoolStress, deaths_timeouts_exceptions_and_cancels_from_many_threads_at_once) {
  ProcessPool pool(small_ring(4));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  auto task = [](int kind, int x) {
    switch (kind) {
      case 0: throw std::out_of_range(std::to_string(x));
      case 1: std::raise(SIGKILL); break;
      case 2:
        for (;;) nap(10ms);
      case 3: ::_exit(x % 100 + 1);
      default: break;
    }
    return x;
  };
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 150 / kSlowdown + 10; ++i) {
        const int x = t * 100'000 + i;
        const int kind = random() % 3 ? 9 : static_cast<int>(random() % 5);
        const bool cancels = random() % 7 == 0;
        auto f = pool.with({.timeout = kind == 2 ? 10ms : 0ms}).submit(task, kind, x);
        const bool taken = cancels && f.cancel(random() % 2 == 0);
        try {
          const int y = f.get();
          if (y != x || taken || (kind != 9 && kind != 4)) ++wrong;
        } catch (const Cancelled&) {
          if (!taken) ++wrong;
        } catch (const std::out_of_range& e) {
          if (kind != 0 || e.what() != std::to_string(x)) ++wrong;
        } catch (const WorkerDied& e) {
          if (kind == 1 ? e.signal() != SIGKILL : kind != 3 || e.exit_code() != x % 100 + 1) ++wrong;
        } catch (const TaskTimeout&) {
          if (kind != 2) ++wrong;
        }
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(pool.submit(twice, 4).get(), 8);
  const auto s = pool.stats();
  EXPECT_EQ(s.submitted, s.finished);
}

TEST(ProcessPoolStress, with_enough_retries_workers_may_be_killed_at_any_moment) {
  ProcessPool pool(small_ring(3));
  std::atomic<bool> over{false};
  std::thread killer([&] {
    std::mt19937 random(5);
    while (!over.load()) {
      const auto pids = pool.worker_pids();
      if (!pids.empty()) ::kill(pids[random() % pids.size()], SIGKILL);
      nap(std::chrono::microseconds(500 + random() % 8000));
    }
  });
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      const int n = 3000 / kSlowdown;
      if (t == 0) {
        int i = 0;
        for (int y : pool.with({.retries = 1000}).map(twice, std::views::iota(0, n))) wrong += y != 2 * i++;
        wrong += i != n;
      } else if (t == 1) {
        long sum = 0;
        for (auto& s : pool.with({.retries = 1000})
                           .map_unordered([](int x) { return std::string(static_cast<std::size_t>(x % 1000), 'x'); },
                                          std::views::iota(0, n)))
          sum += static_cast<long>(s.size());
        long expected = 0;
        for (int i = 0; i < n; ++i) expected += i % 1000;
        wrong += sum != expected;
      } else {
        for (int i = 0; i < n / 10; ++i)
          wrong += pool.with({.retries = 1000})
                       .submit(
                           [](const std::string& s) {
                             nap(100us);
                             return s;
                           },
                           std::string(300, 'a'))
                       .get()
                       .size() != 300;
      }
    });
  for (auto& thread : threads) thread.join();
  over = true;
  killer.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(ProcessPoolStress, workers_that_are_stopped_and_continued_lose_nothing) {
  ProcessPool pool(small_ring(2));
  std::atomic<bool> over{false};
  std::thread stopper([&] {
    while (!over.load()) {
      for (const pid_t pid : pool.worker_pids()) ::kill(pid, SIGSTOP);
      nap(1ms);
      for (const pid_t pid : pool.worker_pids()) ::kill(pid, SIGCONT);
      nap(1ms);
    }
  });
  int i = 0;
  for (int y : pool.map(twice, std::views::iota(0, kMany / 10))) {
    EXPECT_EQ(y, 2 * i);
    ++i;
  }
  for (i = 0; i < 200 / kSlowdown; ++i) EXPECT_EQ(pool.submit(twice, i).get(), 2 * i);
  over = true;
  stopper.join();
}

TEST(ProcessPoolStress, a_flood_of_signals_in_the_owner_disturbs_nothing) {
  struct sigaction action{}, before{};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &action, &before);  // without SA_RESTART
  std::atomic<bool> over{false};
  const pthread_t self = ::pthread_self();
  std::thread flood([&] {
    while (!over.load()) {
      ::pthread_kill(self, SIGUSR1);
      nap(100us);
    }
  });
  for (int round = 0; round < 10; ++round) {
    ProcessPool pool(2);
    int i = 0;
    for (int y : pool.map(twice, std::views::iota(0, 3000 / kSlowdown))) {
      EXPECT_EQ(y, 2 * i);
      ++i;
    }
    EXPECT_EQ(pool.submit([](int n) { return std::string(static_cast<std::size_t>(n), 'x'); }, 3'000'000).get().size(),
              3'000'000u);
    EXPECT_THROW(pool.with({.timeout = 20ms})
                     .submit([] {
                       for (;;) nap(1s);
                     })
                     .get(),
                 TaskTimeout);
    EXPECT_EQ(pool.stats().workers_died, 0u);
  }
  over = true;
  flood.join();
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(ProcessPoolStress, large_payloads_in_both_directions_from_many_threads) {
  ProcessPool pool(2);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 40 / kSlowdown + 2; ++i) {
        const std::string sent(random() % 3'000'000, static_cast<char>('a' + t));
        auto f = pool.submit([](const std::string& s) { return s + s; }, sent);
        if (random() % 5 == 0) continue;  // dropped unread
        if (f.get() != sent + sent) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_TRUE(eventually([&] { return pool.stats().in_slots == 0 && pool.stats().bytes_in_use == 0; }));
}

// Forked strays ------------------------------------------------------------------------------------

TEST(ProcessPoolStress, what_a_child_of_a_task_returns_or_throws_does_no_harm_to_later_tasks) {
  struct Bytes {
    unsigned char all[200];
  };
  for (const bool throws : {false, true}) {
    board().clear();
    ProcessPool pool(small_ring(1));
    auto forks = [](bool throwing) {
      Bytes result;
      std::memset(&result, 1, sizeof result);
      if (::fork() == 0) {
        std::memset(&result, 0xee, sizeof result);
        while (board().counters[1].load() == 0) nap();
        board().counters[2].store(::getpid());
        if (throwing) throw std::runtime_error(std::string(150, '!'));
      }
      return result;
    };
    EXPECT_EQ(pool.submit(forks, throws).get().all[0], 1);
    // Come round to its slot again, with a task there that waits behind the gate.
    for (int i = 0; i < 62; ++i) EXPECT_EQ(pool.submit(twice, i).get(), 2 * i);
    auto held = pool.submit([] { board().pass_gate(); });
    std::vector<Future<int>> later;
    Bytes sent;
    std::memset(&sent, 7, sizeof sent);
    for (int i = 0; i < 60; ++i)
      later.push_back(pool.submit([](Bytes b) { return static_cast<int>(std::ranges::count(b.all, 7)); }, sent));
    board().counters[1].store(1);
    ASSERT_TRUE(eventually([] { return board().counters[2].load() != 0 && is_gone(board().counters[2].load()); }));
    board().gate.store(1);
    held.get();
    for (auto& f : later) EXPECT_EQ(f.get(), 200);
  }
}

TEST(ProcessPoolStress, a_forked_child_that_goes_on_with_a_map_is_refused) {
  ProcessPool pool(2);
  std::vector<std::string> inputs;
  for (int i = 0; i < 400; ++i) inputs.push_back(std::string(5000, static_cast<char>(i)));
  int taken = 0;
  for (auto& s : pool.with({.look_ahead = 20}).map([](const std::string& in) { return in; }, inputs)) {
    ASSERT_EQ(s, inputs[static_cast<std::size_t>(taken)]);
    if (taken == 100) {
      const pid_t child = ::fork();
      if (child == 0) {
        ::alarm(20);
        int more = 0;
        try {
          auto again = pool.map([](int x) { return x; }, std::vector{1, 2, 3});
          for ([[maybe_unused]] int x : again) ++more;
          ::_exit(1);
        } catch (const PoolClosed&) {
        }
        ::_exit(more == 0 ? 0 : 2);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      EXPECT_EQ(status, 0);
    }
    ++taken;
  }
  EXPECT_EQ(taken, 400);
}

TEST(ProcessPoolStress, a_map_under_way_stays_with_the_parent_of_a_fork) {
  ProcessPool pool(2);
  std::vector<std::string> inputs;
  for (int i = 0; i < 2000; ++i) inputs.push_back(std::string(3000, static_cast<char>(i)));
  auto results = pool.with({.look_ahead = 200}).map([](const std::string& in) { return in; }, inputs);
  auto it = results.begin();
  int taken = 0;
  for (; taken < 100; ++taken, ++it) ASSERT_EQ(*it, inputs[static_cast<std::size_t>(taken)]);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    try {
      for (int more = 0; more < 1500; ++more) ++it;
    } catch (const PoolClosed&) {
      ::_exit(0);
    } catch (...) {
      ::_exit(2);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0) << "the child's loop ends with PoolClosed";
  for (; taken < 2000; ++taken, ++it) ASSERT_EQ(*it, inputs[static_cast<std::size_t>(taken)]);
  EXPECT_EQ(it, results.end());
}

}  // namespace process_pool_stress_test
