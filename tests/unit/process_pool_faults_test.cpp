// What goes wrong in a task or in a worker costs that task and nothing else.
#include "pool_tasks.hpp"

#include <algorithm>
#include <new>
#include <pthread.h>
#include <ranges>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace process_pool_faults_test {

using namespace retinue_test;
using retinue::Future;
using retinue::ProcessPool;
using retinue::RemoteError;
using retinue::TaskTimeout;
using retinue::WorkerDied;

// Exceptions ---------------------------------------------------------------------------------------

TEST(ProcessPool, an_exception_comes_back_as_what_it_was) {
  ProcessPool pool(2);
  const pid_t before = ::getpid();
  auto out = thrown_by<std::out_of_range>(
      [&] { pool.submit([](int x) -> int { throw std::out_of_range("right out: " + std::to_string(x)); }, 3).get(); });
  ASSERT_TRUE(out);
  EXPECT_STREQ(out->what(), "right out: 3");
  auto system = thrown_by<std::system_error>(
      [&] { pool.submit([] { throw std::system_error(EACCES, std::generic_category(), "door"); }).get(); });
  ASSERT_TRUE(system);
  EXPECT_EQ(system->code().value(), EACCES);
  EXPECT_EQ(::getpid(), before);
  EXPECT_EQ(pool.stats().failed, 2u);
  EXPECT_EQ(pool.stats().workers_died, 0u);
}

TEST(ProcessPool, an_exception_that_does_not_travel_is_reported_by_name) {
  ProcessPool pool(2);
  auto f = pool.submit([](int) -> int { throw Odd("how odd"); }, 1);
  auto e = thrown_by<RemoteError>([&] { f.get(); });
  ASSERT_TRUE(e);
  EXPECT_NE(e->type_name().find("Odd"), std::string::npos);
  EXPECT_EQ(e->message(), "how odd");
  const auto pids = pool.worker_pids();
  EXPECT_NE(std::ranges::find(pids, e->worker_pid()), pids.end()) << e->worker_pid();
  EXPECT_EQ(e->task_index(), 0u);
  auto again = thrown_by<RemoteError>([&] { f.get(); });
  ASSERT_TRUE(again);
  EXPECT_EQ(again->message(), "how odd");
  EXPECT_THROW(pool.submit([] { throw 42; }).get(), RemoteError);
  EXPECT_THROW(pool.submit([] { throw std::string("text"); }).get(), RemoteError);
}

TEST(ProcessPool, the_very_first_task_knows_its_worker) {
  for (int i = 0; i < 40 / kSlowdown + 1; ++i) {
    ProcessPool pool(2);
    auto e = thrown_by<RemoteError>([&] { pool.submit([] { throw Odd("early"); }).get(); });
    ASSERT_TRUE(e);
    const auto pids = pool.worker_pids();
    ASSERT_NE(std::ranges::find(pids, e->worker_pid()), pids.end()) << e->worker_pid();
  }
}

TEST(ProcessPool, an_exception_with_a_long_text_arrives_whole) {
  ProcessPool pool(2);
  for (const std::size_t n : {0u, 100u, 224u, 225u, 5000u, 1'000'000u}) {
    auto e = thrown_by<std::logic_error>(
        [&] { pool.submit([](std::size_t k) { throw std::logic_error(std::string(k, 'e')); }, n).get(); });
    ASSERT_TRUE(e);
    EXPECT_EQ(std::string(e->what()).size(), n);
  }
}

TEST(ProcessPool, many_exceptions_are_only_that) {
  ProcessPool pool(2);
  int good = 0, bad = 0;
  const int n = 4000 / kSlowdown;
  for (auto& outcome :
       pool.map([](int x) { return x % 2 ? throw std::invalid_argument("odd") : x; }, std::views::iota(0, n))
           .outcomes())
    ++(outcome.ok() ? good : bad);
  EXPECT_EQ(good, n / 2);
  EXPECT_EQ(bad, n / 2);
  EXPECT_EQ(pool.stats().workers_died, 0u);
}

TEST(ProcessPool, a_task_without_memory_fails_alone) {
  ProcessPool pool(1);
  const pid_t pid = pool.submit(::getpid).get();
  EXPECT_THROW(pool.submit([] { throw std::bad_alloc(); }).get(), std::bad_alloc);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_THROW(pool.submit([] { return std::vector<char>(std::size_t{1} << 46); }).get(), std::bad_alloc);
#endif
  EXPECT_EQ(pool.submit(::getpid).get(), pid) << "the worker lives on";
}

// Deaths -------------------------------------------------------------------------------------------

TEST(ProcessPool, a_killed_worker_costs_one_task) {
  ProcessPool pool(2);
  int good = 0, dead = 0;
  for (auto& outcome : pool.map(
                               [](int x) {
                                 if (x == 70) std::raise(SIGKILL);
                                 return x;
                               },
                               std::views::iota(0, 1000))
                           .outcomes()) {
    if (outcome.ok()) {
      EXPECT_EQ(static_cast<std::uint64_t>(outcome.value()), outcome.index());
      ++good;
      continue;
    }
    ++dead;
    EXPECT_EQ(outcome.index(), 70u);
    auto e = thrown_by<WorkerDied>([&] { outcome.value(); });
    ASSERT_TRUE(e);
    EXPECT_EQ(e->signal(), SIGKILL);
    EXPECT_EQ(e->exit_code(), -1);
    EXPECT_EQ(e->task_index(), 70u);
    EXPECT_TRUE(is_gone(e->worker_pid()));
    EXPECT_EQ(e->stack(), "");
  }
  EXPECT_EQ(good, 999);
  EXPECT_EQ(dead, 1);
  EXPECT_EQ(pool.stats().workers_died, 1u);
  EXPECT_TRUE(eventually([&] { return pool.worker_pids().size() == 2; }));
}

TEST(ProcessPool, a_death_reports_its_signal) {
  ProcessPool pool(1);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGKILL, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE}) {
    auto e = death_of(pool, meet_signal, signal);
    ASSERT_TRUE(e);
    EXPECT_EQ(e->signal(), signal) << e->what();
    EXPECT_EQ(e->exit_code(), -1);
  }
}

TEST(ProcessPool, a_death_reports_its_exit_code) {
  ProcessPool pool(1);
  for (const int code : {0, 1, 3, 121, 255}) {
    auto e = death_of(pool, leave_with, code);
    ASSERT_TRUE(e);
    EXPECT_EQ(e->exit_code(), code) << e->what();
    EXPECT_EQ(e->signal(), 0);
  }
  auto e = death_of(pool, [] { std::exit(7); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->exit_code(), 7);
  auto quick = death_of(pool, [] { std::quick_exit(8); });
  ASSERT_TRUE(quick);
  EXPECT_EQ(quick->exit_code(), 8);
}

[[gnu::noinline]] void crash_in_a_named_function(std::uintptr_t where) {
  auto* volatile nowhere = reinterpret_cast<int*>(where);
  *nowhere = 1;
}

TEST(ProcessPool, a_crash_reports_where_it_was) {
  ProcessPool pool(1);
  auto e = death_of(pool, [] { crash_in_a_named_function(8); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->signal(), SIGSEGV);
  EXPECT_NE(e->stack().find("crash_in_a_named_function"), std::string::npos) << e->stack();
  EXPECT_NE(std::string(e->what()).find("SIGSEGV"), std::string::npos);
}

TEST(ProcessPool, a_call_through_a_null_pointer_is_a_death) {
  ProcessPool pool(1);
  auto e = death_of(pool, [] {
    void (*volatile nothing)() = nullptr;
    nothing();
  });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->signal(), SIGSEGV);
}

[[gnu::noinline]] int dig(int depth, volatile char* above) {
  volatile char here[1024];
  here[0] = above[0];
  return depth == 0 ? 0 : dig(depth - 1, here) + here[0];
}

TEST(ProcessPool, a_stack_overflow_is_a_death_with_a_stack) {
  ProcessPool pool(1);
  auto e = death_of(
      pool,
      [](int depth) {
        volatile char bottom[1] = {0};
        return dig(depth, bottom);
      },
      1 << 30);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->signal(), SIGSEGV);
  EXPECT_NE(e->stack().find("dig"), std::string::npos) << e->stack();
}

TEST(ProcessPool, terminate_and_its_kind_are_deaths) {
  ProcessPool pool(1);
  auto e = death_of(pool, [] { std::terminate(); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->signal(), SIGABRT);
  auto uncaught = death_of(pool, []() noexcept { std::vector<int>().at(1) = 2; });
  ASSERT_TRUE(uncaught);
  EXPECT_EQ(uncaught->signal(), SIGABRT);
  auto elsewhere = death_of(pool, [] { std::thread([] { throw 1; }).join(); });
  ASSERT_TRUE(elsewhere);
  EXPECT_EQ(elsewhere->signal(), SIGABRT);
}

TEST(ProcessPool, pthread_exit_in_a_task_ends_that_task) {
  ProcessPool pool(1);
  auto f = pool.submit([] { ::pthread_exit(nullptr); });
  EXPECT_THROW(f.get(), retinue::Error);
  EXPECT_EQ(pool.submit(square, 9).get(), 81);
}

TEST(ProcessPool, a_task_that_leaves_threads_behind_in_a_dying_worker_ends_all_the_same) {
  ProcessPool pool(1);
  auto f = pool.submit([] {
    std::thread([] { board().pass_gate(); }).detach();
    ::_exit(4);
  });
  auto e = thrown_by<WorkerDied>([&] { f.get(); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->exit_code(), 4);
  EXPECT_EQ(pool.submit(square, 9).get(), 81);
}

TEST(ProcessPool, a_busy_worker_killed_from_outside_costs_its_task_only) {
  ProcessPool pool(2);
  std::vector<Future<pid_t>> futures;
  for (int i = 0; i < 40; ++i)
    futures.push_back(pool.submit([] {
      board().pass_gate();
      return ::getpid();
    }));
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 2; }));
  const pid_t victim = pool.worker_pids().front();
  ASSERT_EQ(::kill(victim, SIGKILL), 0);
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 3; })) << "its replacement has gone on to the next";
  board().gate.store(1);
  int died = 0;
  for (auto& f : futures) {
    try {
      EXPECT_NE(f.get(), victim);
    } catch (const WorkerDied& e) {
      ++died;
      EXPECT_EQ(e.worker_pid(), victim);
      EXPECT_EQ(e.signal(), SIGKILL);
    }
  }
  EXPECT_EQ(died, 1);
}

TEST(ProcessPool, an_idle_worker_killed_costs_nothing) {
  ProcessPool pool(2);
  for (int round = 0; round < 10; ++round) {
    EXPECT_EQ(pool.submit(square, round).get(), round * round);
    const auto pids = pool.worker_pids();
    ASSERT_FALSE(pids.empty());
    const pid_t victim = pids[static_cast<std::size_t>(round) % pids.size()];
    ASSERT_TRUE(eventually([&] { return process_info(victim).state == 'S'; })) << "one that polls may take a task";
    ::kill(victim, SIGKILL);
    const int last = round;
    EXPECT_EQ(pool.submit(square, last + 1).get(), (last + 1) * (last + 1));
    ASSERT_TRUE(eventually([&] { return pool.stats().workers_died == static_cast<unsigned>(last) + 1; }));
  }
  EXPECT_EQ(pool.stats().failed, 0u);
}

TEST(ProcessPool, all_workers_killed_at_once_again_and_again_cost_what_they_ran) {
  ProcessPool pool(4);
  std::atomic<bool> over{false};
  std::thread killer([&] {
    while (!over.load()) {
      for (const pid_t pid : pool.worker_pids()) ::kill(pid, SIGKILL);
      nap(20ms);
    }
  });
  int good = 0, dead = 0;
  const int n = 100'000 / kSlowdown;
  for (auto& outcome : pool.map_unordered(
                               [](int x) {
                                 board().runs[x].fetch_add(1);
                                 return x;
                               },
                               std::views::iota(0, n))
                           .outcomes()) {
    if (outcome.ok()) {
      EXPECT_EQ(static_cast<std::uint64_t>(outcome.value()), outcome.index());
      ++good;
    } else {
      ++dead;
      EXPECT_THROW(outcome.value(), WorkerDied);
    }
  }
  over = true;
  killer.join();
  EXPECT_EQ(good + dead, n);
  for (int i = 0; i < n; ++i)
    ASSERT_LE(board().runs[i].load(), 1) << "task " << i << " ran twice without being asked to";
  EXPECT_EQ(pool.submit(square, 5).get(), 25);
}

TEST(ProcessPool, workers_killed_while_they_start_are_replaced) {
  for (int round = 0; round < 5; ++round) {
    ProcessPool pool(8);
    const auto pids = pool.worker_pids();
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    ASSERT_TRUE(eventually([&] { return std::ranges::all_of(pids, is_gone); })) << "until then they may take the task";
    ASSERT_EQ(pool.submit(square, 5).get(), 25);
    ASSERT_TRUE(eventually([&] { return pool.worker_pids().size() == 8; }));
  }
}

// Retries ------------------------------------------------------------------------------------------

int die_at_first(int number) {
  if (board().runs[number].fetch_add(1) == 0) std::raise(SIGKILL);
  return number;
}

TEST(ProcessPool, a_retry_runs_the_task_again_in_a_fresh_worker) {
  ProcessPool pool(2);
  EXPECT_EQ(pool.with({.retries = 1}).submit(die_at_first, 5).get(), 5);
  EXPECT_EQ(board().runs[5].load(), 2);
  EXPECT_EQ(pool.stats().retried, 1u);
  EXPECT_EQ(pool.stats().failed, 0u);
}

TEST(ProcessPool, without_retries_no_task_runs_twice) {
  ProcessPool pool(2);
  EXPECT_THROW(pool.submit(die_at_first, 6).get(), WorkerDied);
  EXPECT_EQ(pool.submit(square, 2).get(), 4);
  EXPECT_EQ(board().runs[6].load(), 1);
  EXPECT_EQ(pool.stats().retried, 0u);
}

TEST(ProcessPool, retries_are_as_many_as_asked_for) {
  ProcessPool pool(2);
  auto always_die = [](int number) {
    board().runs[number].fetch_add(1);
    std::raise(SIGSEGV);
  };
  EXPECT_THROW(pool.with({.retries = 3}).submit(always_die, 7).get(), WorkerDied);
  EXPECT_EQ(board().runs[7].load(), 4);
  EXPECT_EQ(pool.stats().retried, 3u);
}

TEST(ProcessPool, an_exception_or_a_timeout_is_not_retried) {
  ProcessPool pool(1);
  auto thrower = [](int number) {
    board().runs[number].fetch_add(1);
    throw std::runtime_error("no");
  };
  EXPECT_THROW(pool.with({.retries = 5}).submit(thrower, 1).get(), std::runtime_error);
  EXPECT_EQ(board().runs[1].load(), 1);
  auto sleeper = [](int number) {
    board().runs[number].fetch_add(1);
    board().pass_gate();
  };
  EXPECT_THROW(pool.with({.timeout = 500ms * kPatience, .retries = 5}).submit(sleeper, 2).get(), TaskTimeout);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
  EXPECT_EQ(board().runs[2].load(), 1);
}

TEST(ProcessPool, retried_tasks_of_a_map_keep_their_places) {
  ProcessPool pool(2);
  int expected = 0;
  const int n = 400 / kSlowdown;
  for (int x :
       pool.with({.retries = 1}).map([](int i) { return i % 20 == 3 ? die_at_first(i) : i; }, std::views::iota(0, n)))
    ASSERT_EQ(x, expected++);
  EXPECT_EQ(expected, n);
  EXPECT_EQ(pool.stats().retried, static_cast<std::uint64_t>(n / 20));
}

TEST(ProcessPool, retried_tasks_get_their_arguments_again) {
  ProcessPool pool(2);
  for (const std::size_t n : {10u, 200u, 224u, 300u, 100'000u}) {
    board().runs[8].store(0);
    const std::string sent(n, 'r');
    auto f = pool.with({.retries = 2})
                 .submit(
                     [](const std::string& s) {
                       die_at_first(8);
                       return s;
                     },
                     sent);
    EXPECT_EQ(f.get(), sent);
  }
}

}  // namespace process_pool_faults_test
