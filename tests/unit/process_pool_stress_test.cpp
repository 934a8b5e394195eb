// Many tasks, small rings, hostile workers: all that was submitted ends, once, with its own outcome.
#include "process_watch.hpp"

#include <algorithm>
#include <numeric>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "data/region.hpp"
#include "pool/control.hpp"

namespace {

using namespace retinue_test;
using retinue::Cancelled;
using retinue::Future;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::TaskTimeout;
using retinue::WorkerDied;
using retinue::detail::Control;
using retinue::detail::PoolMemory;
using retinue::detail::Region;
using retinue::detail::Seat;
using retinue::detail::Slot;
using retinue::detail::State;
using retinue::detail::Tag;

constexpr int kMany = 300'000 / kSlowdown;

int twice(int x) { return 2 * x; }
ProcessPoolOptions small_ring(unsigned workers) {
  ProcessPoolOptions options;
  options.workers = workers;
  options.slots = 64;
  return options;
}

// Numbers ------------------------------------------------------------------------------------------

TEST(ProcessPoolStress, very_many_submits_read_one_by_one) {
  ProcessPool pool(2);
  const auto enough = Clock::now() + 10s;  // on a machine with more to run than processors a round trip takes two switches
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
      pool.submit([](bool waits) {
        while (waits && board().counters[0].load() < 299) nap();
        board().counters[0].fetch_add(1);
      }, i == slow);
    ASSERT_TRUE(eventually([] { return board().counters[0].load() == 300; })) << "task " << slow << " is the slow one";
  }
}

TEST(ProcessPoolStress, more_workers_than_half_the_slots_work) {
  ProcessPool pool(small_ring(16));
  for (int round = 0; round < 5; ++round) {
    std::vector<Future<int>> futures;
    for (int i = 0; i < 2000 / kSlowdown; ++i) futures.push_back(pool.submit([](int x) { if (x % 10 == 0) nap(300us); return x; }, i));
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
      case 2: for (;;) nap(10ms);
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
        for (auto& s : pool.with({.retries = 1000}).map_unordered([](int x) { return std::string(static_cast<std::size_t>(x % 1000), 'x'); }, std::views::iota(0, n)))
          sum += static_cast<long>(s.size());
        long expected = 0;
        for (int i = 0; i < n; ++i) expected += i % 1000;
        wrong += sum != expected;
      } else {
        for (int i = 0; i < n / 10; ++i)
          wrong += pool.with({.retries = 1000}).submit([](const std::string& s) { nap(100us); return s; }, std::string(300, 'a')).get().size() != 300;
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
  struct sigaction action {}, before {};
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
    EXPECT_EQ(pool.submit([](int n) { return std::string(static_cast<std::size_t>(n), 'x'); }, 3'000'000).get().size(), 3'000'000u);
    EXPECT_THROW(pool.with({.timeout = 20ms}).submit([] { for (;;) nap(1s); }).get(), TaskTimeout);
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

// Hostile workers ----------------------------------------------------------------------------------

/// A pool whose shared memory the test and its tasks can find, and write to where they must not.
struct OpenPool {
  static constexpr unsigned kWorkers = 2;
  static constexpr std::uint64_t kSlots = 64;

  OpenPool() : at(find()), pool(small_ring(kWorkers)), memory(view(at)) {
    EXPECT_EQ(pool.submit(twice, 1).get(), 2);
    EXPECT_EQ(memory.control->tail.load(), 1u) << "the pool's memory is where this test thinks it is";
  }
  /// Where the pool that is made next will have its memory: the first place that is free.
  static std::byte* find() {
    Region& region = Region::of_this_process();
    const auto extent = region.take_control(PoolMemory::bytes_needed(kWorkers, kSlots));
    region.give_control(extent);
    return region.at(extent.offset);
  }
  static PoolMemory view(std::byte* at) {
    PoolMemory m;
    m.workers = kWorkers;
    m.slot_mask = kSlots - 1;
    m.control = reinterpret_cast<Control*>(at);
    m.seats = reinterpret_cast<Seat*>(at + sizeof(Control));
    m.slots = reinterpret_cast<Slot*>(at + sizeof(Control) + kWorkers * sizeof(Seat));
    return m;
  }
  std::uintptr_t where() const { return reinterpret_cast<std::uintptr_t>(at); }

  std::byte* at;
  ProcessPool pool;
  PoolMemory memory;
};

PoolMemory memory_at(std::uintptr_t where) { return OpenPool::view(reinterpret_cast<std::byte*>(where)); }
Seat& own_seat(const PoolMemory& m) {
  for (int tries = 0; tries < 2000; ++tries, nap())  // a fresh worker may run before its pid is noted
    for (unsigned i = 0; i < m.workers; ++i)
      if (m.seats[i].pid.load() == ::getpid()) return m.seats[i];
  std::abort();  // an earlier task has overwritten it
}

/// All is well with the pool: it may have lost workers, but it works.
void expect_well(ProcessPool& pool) {
  for (int i = 0; i < 300; ++i) {
    auto f = pool.with({.retries = 10}).submit(twice, i);
    ASSERT_EQ(f.wait_for(kSoon), retinue::FutureStatus::ready);
    ASSERT_EQ(f.get(), 2 * i);
  }
  int i = 0;
  for (auto& s : pool.with({.retries = 10}).map([](int n) { return std::string(1000, static_cast<char>(n)); }, std::views::iota(0, 100))) {
    ASSERT_EQ(s, std::string(1000, static_cast<char>(i)));
    ++i;
  }
}

/// A task that is done and not yet read, and its slot, which any process of the pool can write to.
struct Unread {
  template <class F, class... A>
  Unread(OpenPool& open, F f, A... arguments)
      : future(open.pool.submit(f, arguments...)), slot(open.memory.slot(open.memory.control->tail.load() - 1)) {
    EXPECT_TRUE(eventually([&] { return future.done(); }));
  }
  /// True if reading it fails. A round of the service thread may have read it before it was overwritten:
  /// then it must be what it was.
  template <class Was>
  bool fails(const Was& was) {
    try {
      EXPECT_EQ(future.get(), was);
      return false;
    } catch (const std::exception&) {
      return true;
    }
  }
  Future<std::string> future;
  Slot& slot;
};

TEST(ProcessPoolHostile, a_result_whose_description_was_overwritten_is_an_exception_not_a_crash) {
  OpenPool open;
  int failed = 0;
  const std::uint64_t blocks[] = {0, 1, 64, 4096, ~std::uint64_t{0}, ~std::uint64_t{0} - 63, std::uint64_t{1} << 45};
  const std::uint64_t sizes[] = {0, 1, 225, 100'000, (std::uint64_t{1} << 48) - 1, std::uint64_t{1} << 30};
  for (const std::uint64_t block : blocks) {
    for (const std::uint64_t size : sizes) {
      for (const bool large : {false, true}) {
        Unread victim(open, [](bool big) { return std::string(big ? 100'000 : 100, 'v'); }, large);
        victim.slot.block = block;
        victim.slot.size_and_kind = size << 16;
        failed += victim.fails(std::string(large ? 100'000 : 100, 'v')) ? 1 : 0;
      }
    }
  }
  EXPECT_GT(failed, 80) << "of 84";
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, a_result_that_claims_the_memory_of_another_is_an_exception) {
  OpenPool open;
  auto make = [](char c) { return std::string(100'000, c); };
  Unread first(open, make, 'a');
  Unread second(open, make, 'b');
  const auto block = first.slot.block;
  EXPECT_EQ(first.future.get(), make('a'));  // in the owner's hands from here on
  Unread third(open, make, 'c');
  second.slot.block = third.slot.block = block;
  EXPECT_TRUE(second.fails(make('b')) | third.fails(make('c')));
  EXPECT_EQ(first.future.get(), make('a'));
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, a_result_of_no_known_kind_is_an_exception) {
  OpenPool open;
  int failed = 0;
  for (const unsigned kind : {1u, 2u, 77u, 255u}) {
    for (int i = 0; i < 5; ++i) {
      Unread victim(open, [] { return std::string(100, 'v'); });
      victim.slot.size_and_kind |= kind;
      failed += victim.fails(std::string(100, 'v')) ? 1 : 0;
    }
  }
  EXPECT_GT(failed, 16) << "of 20";
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, random_bytes_for_a_result_are_an_exception_or_a_value) {
  OpenPool open;
  int refused = 0;
  const int n = 400 / kSlowdown;
  for (int seed = 0; seed < n; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    auto f = open.pool.submit([](bool big) { return std::vector<std::string>(big ? 3000 : 3, std::string(20, 'v')); }, seed % 2 == 1);
    Slot& slot = open.memory.slot(open.memory.control->tail.load() - 1);
    ASSERT_TRUE(eventually([&] { return f.done(); }));
    auto* bytes = slot.block != 0 ? reinterpret_cast<unsigned char*>(&slot) + 8 : reinterpret_cast<unsigned char*>(slot.payload);
    for (int k = 0; k < (slot.block != 0 ? 24 : 200); ++k) bytes[k] = static_cast<unsigned char>(random());
    try {
      (void)f.get();
    } catch (const std::exception&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, n / 2);
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, a_worker_that_overwrites_its_slots_state_and_dies_costs_its_task) {
  OpenPool open;
  const std::uint64_t states[] = {0, ~std::uint64_t{0}, 0x1234567890abcdef, 2 | 1023u << 8, 5, 3, 4};
  for (const std::uint64_t state : states) {
    auto f = open.pool.submit([](std::uintptr_t where, std::uint64_t s) {
      const PoolMemory m = memory_at(where);
      m.slot(own_seat(m).current.load() - 1).state.store(s);
      std::raise(SIGKILL);
    }, open.where(), state);
    ASSERT_EQ(f.wait_for(kSoon), retinue::FutureStatus::ready) << std::hex << state;
    EXPECT_THROW(f.get(), std::exception);
    expect_well(open.pool);
  }
}

TEST(ProcessPoolHostile, a_worker_that_overwrites_its_slots_state_and_goes_on_does_no_harm) {
  OpenPool open;
  for (const std::uint64_t state : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    auto f = open.pool.submit([](std::uintptr_t where, std::uint64_t s) {
      const PoolMemory m = memory_at(where);
      m.slot(own_seat(m).current.load() - 1).state.store(s);
      nap(20ms);
      return 5;
    }, open.where(), state);
    ASSERT_EQ(f.wait_for(kSoon), retinue::FutureStatus::ready) << state;
    try {
      EXPECT_EQ(f.get(), 5);
    } catch (const retinue::Error&) {
    }
    expect_well(open.pool);
  }
}

TEST(ProcessPoolHostile, a_task_that_overwrote_its_slots_state_can_still_be_stopped) {
  OpenPool open;
  auto vandal = [](std::uintptr_t where, std::uint64_t s) {
    const PoolMemory m = memory_at(where);
    m.slot(own_seat(m).current.load() - 1).state.store(s);
    board().at_gate.fetch_add(1);
    for (;;) nap(1s);
  };
  for (const std::uint64_t state : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{5}}) {
    auto late = open.pool.with({.timeout = 50ms}).submit(vandal, open.where(), state);
    ASSERT_EQ(late.wait_for(kSoon), retinue::FutureStatus::ready) << state;
    EXPECT_THROW(late.get(), retinue::Error);
    board().at_gate.store(0);
    auto forced = open.pool.submit(vandal, open.where(), state);
    ASSERT_TRUE(eventually([&] { return board().at_gate.load() == 1; }));
    forced.cancel(true);
    ASSERT_EQ(forced.wait_for(kSoon), retinue::FutureStatus::ready) << state;
    EXPECT_THROW(forced.get(), retinue::Error);
    expect_well(open.pool);
  }
}

TEST(ProcessPoolHostile, a_done_slot_that_a_dying_worker_overwrote_still_ends) {
  OpenPool open;
  for (const std::uint64_t state : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{0x77777777}}) {
    auto victim = open.pool.submit(twice, 4);
    const std::uint64_t position = open.memory.control->tail.load() - 1;
    ASSERT_TRUE(eventually([&] { return victim.done(); }));
    auto killer = open.pool.submit([](std::uintptr_t where, std::uint64_t p, std::uint64_t s) {
      memory_at(where).slot(p).state.store(s);
      std::raise(SIGSEGV);
    }, open.where(), position, state);
    EXPECT_THROW(killer.get(), WorkerDied);
    ASSERT_EQ(victim.wait_for(kSoon), retinue::FutureStatus::ready) << state;
    try {
      EXPECT_EQ(victim.get(), 8);
    } catch (const retinue::Error&) {
    }
    expect_well(open.pool);
  }
}

TEST(ProcessPoolHostile, a_worker_that_overwrites_its_seat_costs_no_more_than_itself) {
  OpenPool open;
  for (const int fill : {0x00, 0xff, 0x01, 0x55}) {
    for (const bool dies : {false, true}) {
      auto f = open.pool.submit([](std::uintptr_t where, int byte, bool die) {
        const PoolMemory m = memory_at(where);
        Seat& seat = own_seat(m);
        std::memset(static_cast<void*>(&seat), byte, sizeof seat);
        if (die) std::raise(SIGKILL);
        return 5;
      }, open.where(), fill, dies);
      ASSERT_EQ(f.wait_for(kSoon), retinue::FutureStatus::ready) << fill << dies;
      try {
        EXPECT_EQ(f.get(), 5);
      } catch (const WorkerDied&) {
      }
      expect_well(open.pool);
    }
  }
}

TEST(ProcessPoolHostile, a_crash_record_of_nonsense_is_told_without_harm) {
  OpenPool open;
  for (const int fill : {0x00, 0xff, 0x41}) {
    auto e = thrown_by<WorkerDied>([&] {
      open.pool.submit([](std::uintptr_t where, int byte) {
        const PoolMemory m = memory_at(where);
        Seat& seat = own_seat(m);
        std::memset(static_cast<void*>(&seat.crash_stack), byte, sizeof seat.crash_stack);
        seat.crash_signal.store(byte == 0 ? SIGSEGV : byte);
        std::raise(SIGKILL);
      }, open.where(), fill).get();
    });
    ASSERT_TRUE(e);
    EXPECT_GT(e->signal(), 0);
    EXPECT_LT(e->signal(), 65);
  }
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, a_worker_that_overwrites_the_whole_pool_ends_every_future) {
  const ChildEnd end = in_child([] {
    for (const int fill : {0x00, 0xff, 0x33}) {
      OpenPool open;
      std::vector<Future<int>> futures;
      for (int i = 0; i < 200; ++i) futures.push_back(open.pool.submit(twice, i));
      auto f = open.pool.submit([](std::uintptr_t where, int byte) {
        std::memset(reinterpret_cast<void*>(where), byte, PoolMemory::bytes_needed(OpenPool::kWorkers, OpenPool::kSlots));
        std::raise(SIGKILL);
      }, open.where(), fill);
      (void)f.wait_for(1s);
      open.pool.terminate();
      for (auto& g : futures) DEMAND(g.done());
    }
    return 0;
  });
  // It may be lost, pool and all, but it neither crashes its owner nor makes it wait for ever.
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

}  // namespace
