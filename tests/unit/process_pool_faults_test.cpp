// What goes wrong in a worker, in the fork server or in the owner costs what it must and nothing else.
#include "process_watch.hpp"

#include <array>
#include <exception>
#include <new>
#include <pthread.h>
#include <ranges>
#include <stdexcept>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <system_error>
#include <thread>
#include <vector>

#include "system/fd.hpp"

namespace {

using namespace retinue_test;
using retinue::Cancelled;
using retinue::Future;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::RemoteError;
using retinue::ResourceExhausted;
using retinue::TaskTimeout;
using retinue::WorkerDied;

int square(int x) { return x * x; }
void meet_signal(int signal) { std::raise(signal); }
void leave_with(int code) { ::_exit(code); }
void spin_for_ever() {
  for (std::atomic<int> k{0};;) k.fetch_add(1, std::memory_order_relaxed);
}
bool is_alive(pid_t pid) { return !is_gone(pid); }

/// Runs `body` as a task that must kill its worker, and then a task that must not mind.
template <class F, class... A>
std::unique_ptr<WorkerDied> death_of(ProcessPool& pool, F body, A... arguments) {
  const pid_t pid = pool.submit(::getpid).get();
  auto e = thrown_by<WorkerDied>([&] { pool.submit(body, arguments...).get(); });
  if (e) {
    EXPECT_EQ(e->worker_pid(), pid);
  }
  EXPECT_EQ(pool.submit(square, 9).get(), 81) << "the pool goes on";
  EXPECT_NE(pool.submit(::getpid).get(), pid);
  return e;
}

struct Odd : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Exceptions ---------------------------------------------------------------------------------------

TEST(ProcessPool, an_exception_comes_back_as_what_it_was) {
  ProcessPool pool(2);
  const pid_t before = ::getpid();
  auto out = thrown_by<std::out_of_range>([&] { pool.submit([](int x) -> int { throw std::out_of_range("right out: " + std::to_string(x)); }, 3).get(); });
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

TEST(ProcessPool, an_exception_that_does_not_travel_is_told_by_name) {
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
    auto e = thrown_by<std::logic_error>([&] { pool.submit([](std::size_t k) { throw std::logic_error(std::string(k, 'e')); }, n).get(); });
    ASSERT_TRUE(e);
    EXPECT_EQ(std::string(e->what()).size(), n);
  }
}

TEST(ProcessPool, many_exceptions_are_only_that) {
  ProcessPool pool(2);
  int good = 0, bad = 0;
  const int n = 4000 / kSlowdown;
  for (auto& outcome : pool.map([](int x) { return x % 2 ? throw std::invalid_argument("odd") : x; }, std::views::iota(0, n)).outcomes())
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
  EXPECT_THROW(pool.submit([] { return std::vector<char>(std::size_t{1} << 46).size(); }).get(), std::bad_alloc);
#endif
  EXPECT_EQ(pool.submit(::getpid).get(), pid) << "the worker lives on";
}

// Deaths -------------------------------------------------------------------------------------------

TEST(ProcessPool, a_killed_worker_costs_one_task) {
  ProcessPool pool(2);
  int good = 0, dead = 0;
  for (auto& outcome : pool.map([](int x) { if (x == 70) std::raise(SIGKILL); return x; }, std::views::iota(0, 1000)).outcomes()) {
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

TEST(ProcessPool, a_death_tells_its_signal) {
  ProcessPool pool(1);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGKILL, SIGTERM, SIGUSR1, SIGHUP, SIGPIPE}) {
    auto e = death_of(pool, meet_signal, signal);
    ASSERT_TRUE(e);
    EXPECT_EQ(e->signal(), signal) << e->what();
    EXPECT_EQ(e->exit_code(), -1);
  }
}

TEST(ProcessPool, a_death_tells_its_exit_code) {
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

TEST(ProcessPool, a_crash_tells_where_it_was) {
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
  auto e = death_of(pool, [](int depth) {
    volatile char bottom[1] = {0};
    return dig(depth, bottom);
  }, 1 << 30);
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
  for (int i = 0; i < 40; ++i) futures.push_back(pool.submit([] { board().pass_gate(); return ::getpid(); }));
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
    ::kill(pids[static_cast<std::size_t>(round) % pids.size()], SIGKILL);
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
  for (auto& outcome : pool.map_unordered([](int x) { board().runs[x].fetch_add(1); return x; }, std::views::iota(0, n)).outcomes()) {
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
  for (int i = 0; i < n; ++i) ASSERT_LE(board().runs[i].load(), 1) << "task " << i << " ran twice without being asked to";
  EXPECT_EQ(pool.submit(square, 5).get(), 25);
}

TEST(ProcessPool, workers_killed_while_they_start_are_replaced) {
  for (int round = 0; round < 5; ++round) {
    ProcessPool pool(8);
    for (const pid_t pid : pool.worker_pids()) ::kill(pid, SIGKILL);
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
  auto always_die = [](int number) { board().runs[number].fetch_add(1); std::raise(SIGSEGV); };
  EXPECT_THROW(pool.with({.retries = 3}).submit(always_die, 7).get(), WorkerDied);
  EXPECT_EQ(board().runs[7].load(), 4);
  EXPECT_EQ(pool.stats().retried, 3u);
}

TEST(ProcessPool, an_exception_or_a_timeout_is_not_retried) {
  ProcessPool pool(1);
  auto thrower = [](int number) { board().runs[number].fetch_add(1); throw std::runtime_error("no"); };
  EXPECT_THROW(pool.with({.retries = 5}).submit(thrower, 1).get(), std::runtime_error);
  EXPECT_EQ(board().runs[1].load(), 1);
  auto sleeper = [](int number) { board().runs[number].fetch_add(1); board().pass_gate(); };
  EXPECT_THROW(pool.with({.timeout = 30ms, .retries = 5}).submit(sleeper, 2).get(), TaskTimeout);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
  EXPECT_EQ(board().runs[2].load(), 1);
}

TEST(ProcessPool, retried_tasks_of_a_map_keep_their_places) {
  ProcessPool pool(2);
  int expected = 0;
  const int n = 400 / kSlowdown;
  for (int x : pool.with({.retries = 1}).map([](int i) { return i % 20 == 3 ? die_at_first(i) : i; }, std::views::iota(0, n)))
    ASSERT_EQ(x, expected++);
  EXPECT_EQ(expected, n);
  EXPECT_EQ(pool.stats().retried, static_cast<std::uint64_t>(n / 20));
}

TEST(ProcessPool, retried_tasks_get_their_arguments_again) {
  ProcessPool pool(2);
  for (const std::size_t n : {10u, 200u, 224u, 300u, 100'000u}) {
    board().runs[8].store(0);
    const std::string sent(n, 'r');
    auto f = pool.with({.retries = 2}).submit([](const std::string& s) { die_at_first(8); return s; }, sent);
    EXPECT_EQ(f.get(), sent);
  }
}

// Timeouts -----------------------------------------------------------------------------------------

TEST(ProcessPool, a_task_that_overstays_is_stopped_and_its_worker_replaced) {
  ProcessPool pool(2);
  auto neighbour = pool.submit([] { board().pass_gate(); return ::getpid(); });
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
  auto stuck = pool.with({.timeout = 50ms}).submit([] { for (;;) nap(1s); });
  auto e = thrown_by<TaskTimeout>([&] { stuck.get(); });
  ASSERT_TRUE(e);
  EXPECT_NE(std::string(e->what()).find("0.05"), std::string::npos) << e->what();
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
  EXPECT_FALSE(neighbour.done());
  board().gate.store(1);
  EXPECT_GT(neighbour.get(), 0) << "its neighbour is unharmed";
  EXPECT_EQ(pool.stats().workers_died, 0u) << "killed by the pool's own will";
}

TEST(ProcessPool, a_timeout_counts_from_the_start_of_the_task_not_from_its_submit) {
  ProcessPool pool(1);
  auto first = pool.submit([] { board().pass_gate(); });
  auto queued = pool.with({.timeout = 3s * kPatience}).submit(square, 4);
  nap(3500ms * kPatience);
  EXPECT_FALSE(queued.done());
  board().gate.store(1);
  EXPECT_EQ(queued.get(), 16);
  first.get();
}

TEST(ProcessPool, tasks_that_busy_loop_are_stopped_too) {
  ProcessPool pool(2);
  std::vector<Future<void>> futures;
  for (int i = 0; i < 6; ++i)
    futures.push_back(pool.with({.timeout = 20ms}).submit([] { spin_for_ever(); }));
  for (auto& f : futures) EXPECT_THROW(f.get(), TaskTimeout);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPool, a_stopped_worker_is_a_task_that_overstays) {
  ProcessPool pool(1);
  auto f = pool.with({.timeout = 100ms}).submit([] { ::kill(::getpid(), SIGSTOP); });
  EXPECT_THROW(f.get(), TaskTimeout);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPool, tasks_within_their_timeouts_are_not_touched) {
  ProcessPool pool(2);
  int expected = 0;
  for (int y : pool.with({.timeout = 60s * kPatience}).map(square, std::views::iota(0, 20'000 / kSlowdown))) {
    ASSERT_EQ(y, expected * expected);
    ++expected;
  }
  EXPECT_EQ(expected, 20'000 / kSlowdown);
  EXPECT_EQ(pool.stats().failed, 0u);
}

TEST(ProcessPool, a_map_with_timeouts_loses_only_those_that_overstay) {
  ProcessPool pool(2);
  int good = 0, late = 0;
  for (auto& outcome : pool.with({.timeout = 100ms * kPatience}).map([](int x) { while (x % 25 == 7) nap(1s); return x; }, std::views::iota(0, 100)).outcomes()) {
    if (outcome.ok()) {
      ++good;
    } else {
      ++late;
      EXPECT_EQ(outcome.index() % 25, 7u);
      EXPECT_THROW(outcome.value(), TaskTimeout);
    }
  }
  EXPECT_EQ(good, 96);
  EXPECT_EQ(late, 4);
}

TEST(ProcessPool, different_timeouts_each_have_their_own_time) {
  ProcessPool pool(3);
  auto forever = [] { for (;;) nap(1s); };
  auto l = pool.with({.timeout = 60s * kPatience}).submit(forever);
  auto s = pool.with({.timeout = 20ms}).submit(forever);
  auto m = pool.with({.timeout = 200ms}).submit(forever);
  EXPECT_THROW(s.get(), TaskTimeout);
  EXPECT_THROW(m.get(), TaskTimeout);
  EXPECT_FALSE(l.done());
  EXPECT_TRUE(l.cancel(true));
  EXPECT_THROW(l.get(), Cancelled);
}

// Initializers -------------------------------------------------------------------------------------

TEST(ProcessPool, an_initializer_that_throws_ends_the_pool_and_says_why) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.initializer = [] { throw std::runtime_error("no database"); };
  std::string why;
  try {
    ProcessPool pool(options);
    pool.submit(square, 1).get();
  } catch (const PoolClosed& e) {
    why = e.what();
  }
  EXPECT_NE(why.find("no database"), std::string::npos) << why;
}

TEST(ProcessPool, an_initializer_that_throws_what_does_not_travel_is_told_by_name) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.initializer = [] { throw Odd("strange"); };
  std::string why;
  try {
    ProcessPool pool(options);
    pool.submit(square, 1).get();
  } catch (const PoolClosed& e) {
    why = e.what();
  }
  EXPECT_NE(why.find("Odd"), std::string::npos) << why;
  EXPECT_NE(why.find("strange"), std::string::npos) << why;
}

TEST(ProcessPool, an_initializer_that_crashes_ends_the_pool_and_does_not_spin) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.initializer = [] {
    board().counters[0].fetch_add(1);
    std::raise(SIGSEGV);
  };
  EXPECT_THROW(
      {
        ProcessPool pool(options);
        pool.submit(square, 1).get();
      },
      PoolClosed);
  EXPECT_LT(board().counters[0].load(), 20);
}

TEST(ProcessPool, an_initializer_that_fails_in_a_replacement_ends_every_future) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.initializer = [] {
    if (board().counters[0].fetch_add(1) >= 2) throw std::runtime_error("third time unlucky");
  };
  ProcessPool pool(options);
  ASSERT_EQ(pool.submit(square, 3).get(), 9);
  ASSERT_TRUE(eventually([] { return board().counters[0].load() == 2; }));
  std::vector<Future<void>> futures;
  futures.push_back(pool.submit([] { std::raise(SIGKILL); }));
  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit([] { board().pass_gate(); }));
  EXPECT_THROW(futures[0].get(), WorkerDied);
  for (std::size_t i = 1; i < futures.size(); ++i) EXPECT_THROW(futures[i].get(), PoolClosed);
  EXPECT_THROW(pool.submit(square, 3), PoolClosed);
}

TEST(ProcessPool, a_slow_initializer_holds_nothing_up_for_ever) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.initializer = [] { nap(300ms); };
  ProcessPool pool(options);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

// The fork server ----------------------------------------------------------------------------------

TEST(ProcessPool, when_the_fork_server_is_killed_every_future_ends_with_pool_closed) {
  const ChildEnd end = in_child([] {
    ProcessPool pool(2);
    std::vector<Future<void>> futures;
    for (int i = 0; i < 10'000; ++i) futures.push_back(pool.submit([] { board().pass_gate(); }));
    DEMAND(eventually([] { return board().at_gate.load() == 2; }));
    const auto servers = fork_servers_of(::getpid());
    DEMAND(servers.size() == 1);
    DEMAND(::kill(servers[0], SIGKILL) == 0);
    int closed = 0;
    for (auto& f : futures) {
      try {
        f.get();
      } catch (const PoolClosed&) {
        ++closed;
      }
    }
    DEMAND(closed == 10'000);
    bool refused = false;
    try {
      pool.submit(square, 1);
    } catch (const PoolClosed& e) {
      refused = std::string(e.what()).find("fork server") != std::string::npos;
    }
    DEMAND(refused);
    pool.shutdown();
    ProcessPool second(2);
    DEMAND(second.submit(square, 4).get() == 16);
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

TEST(ProcessPool, a_fork_server_killed_under_an_idle_pool_is_noticed) {
  ProcessPool pool(2);
  EXPECT_EQ(pool.submit(square, 4).get(), 16);
  const auto workers = pool.worker_pids();
  ::kill(fork_servers_of(::getpid()).at(0), SIGKILL);
  EXPECT_TRUE(eventually([&] { return std::ranges::none_of(workers, is_alive); })) << "workers go with their server";
  EXPECT_TRUE(eventually([&] {
    try {
      pool.submit(square, 4).wait();
      return false;
    } catch (const PoolClosed&) {
      return true;
    }
  }));
}

TEST(ProcessPool, a_map_whose_fork_server_is_killed_ends) {
  ProcessPool pool(2);
  int taken = 0;
  try {
    for (auto& outcome : pool.map([](int x) { nap(1ms); return x; }, std::views::iota(0)).outcomes()) {
      if (++taken == 50) ::kill(fork_servers_of(::getpid()).at(0), SIGKILL);
      EXPECT_TRUE(outcome.ok() || taken >= 50);
    }
    ADD_FAILURE() << "an endless input ended";
  } catch (const PoolClosed&) {
  }
  EXPECT_GE(taken, 50);
}

TEST(ProcessPool, a_pool_whose_fork_server_died_during_a_callback_ends) {
  ProcessPool pool(1);
  auto f = pool.submit(square, 2);
  std::atomic<bool> ended{false};
  f.on_done([&](Future<int>&) {
    auto g = pool.submit([] { board().pass_gate(); });
    eventually([] { return board().at_gate.load() == 1; });
    ::kill(fork_servers_of(::getpid()).at(0), SIGKILL);
    try {
      g.get();
    } catch (const PoolClosed&) {
      ended = true;
    }
  });
  EXPECT_TRUE(eventually([&] { return ended.load(); }));
}

// The owner ----------------------------------------------------------------------------------------

TEST(ProcessPool, when_the_owner_is_killed_all_its_processes_go) {
  for (const int signal : {SIGKILL, SIGTERM, SIGINT, SIGSEGV}) {
    board().clear();
    Child owner([] {
      ::signal(SIGSEGV, SIG_DFL);
      ProcessPool a(2), b(2);
      auto f = a.submit([] { board().pass_gate(); });
      auto g = b.submit([] { spin_for_ever(); });
      auto h = a.submit([] {
        ProcessPool inner(1);
        board().counters[1].store(1);
        inner.submit([] { board().pass_gate(); }).get();
      });
      f.get();
      return 0;
    });
    ASSERT_TRUE(eventually([] { return board().at_gate.load() == 2 && board().counters[1].load() == 1; }));
    ::kill(owner.pid(), signal);
    const ChildEnd end = owner.end();
    EXPECT_TRUE(end.died_of(signal)) << end;
    EXPECT_TRUE(end.alone) << "signal " << signal << ": " << end;
    EXPECT_LT(end.lingered, 1s * kPatience) << "signal " << signal;
  }
}

TEST(ProcessPool, when_the_owner_and_its_fork_server_are_killed_together_all_go) {
  Child owner([] {
    ProcessPool pool(4);
    std::vector<Future<void>> futures;
    for (int i = 0; i < 4; ++i) futures.push_back(pool.submit([] { board().pass_gate(); }));
    futures[0].get();
    return 0;
  });
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 4; }));
  const auto servers = fork_servers_of(owner.pid());
  ASSERT_EQ(servers.size(), 1u);
  ::kill(owner.pid(), SIGSTOP);  // or it could see the end of its fork server and leave by itself
  ::kill(servers[0], SIGKILL);
  ::kill(owner.pid(), SIGKILL);
  const ChildEnd end = owner.end();
  EXPECT_TRUE(end.died_of(SIGKILL)) << end;
  EXPECT_TRUE(end.alone) << end;
}

TEST(ProcessPool, ctrl_c_reaches_the_owner_only) {
  // The whole foreground group gets SIGINT; the owner here decides to go on.
  const ChildEnd end = in_child([] {
    ::setpgid(0, 0);
    static std::atomic<int> seen{0};
    struct sigaction action {};
    action.sa_handler = [](int) { seen = 1; };
    ::sigaction(SIGINT, &action, nullptr);
    ProcessPool pool(2);
    auto f = pool.submit([] { board().pass_gate(); return 5; });
    DEMAND(eventually([] { return board().at_gate.load() == 1; }));
    ::kill(-::getpgrp(), SIGINT);
    DEMAND(eventually([] { return seen.load() == 1; }));
    nap(50ms);
    board().gate.store(1);
    DEMAND(f.get() == 5);
    DEMAND(pool.stats().workers_died == 0);
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
}

const bool static_pool_body = [] {
  FirstPool::bodies()["a pool in a static"] = [] {
    static ProcessPool pool(2);
    DEMAND(pool.submit(square, 3).get() == 9);
    std::exit(41);
    return 0;
  };
  return true;
}();

TEST(ProcessPool, an_owner_that_leaves_by_exit_with_a_pool_in_a_static_leaves_nothing) {
  const ChildEnd end = alone("a pool in a static");
  EXPECT_TRUE(end.exited_with(41)) << end;
  EXPECT_TRUE(end.alone) << end;
}

TEST(ProcessPool, an_owner_that_leaves_by_underscore_exit_leaves_nothing) {
  const ChildEnd end = in_child([] {
    ProcessPool pool(2);
    auto f = pool.submit([] { board().pass_gate(); });
    DEMAND(eventually([] { return board().at_gate.load() == 1; }));
    ::_exit(24);
    return 0;
  });
  EXPECT_TRUE(end.exited_with(24)) << end;
  EXPECT_TRUE(end.alone) << end;
}

TEST(ProcessPool, an_owner_that_ignores_its_children_still_ends_cleanly) {
  const ChildEnd end = in_child([] {
    ::signal(SIGCHLD, SIG_IGN);
    {
      ProcessPool pool(2);
      DEMAND(pool.submit(square, 3).get() == 9);
      try {
        pool.submit(meet_signal, SIGKILL).get();
        DEMAND(false);
      } catch (const WorkerDied& e) {
        DEMAND(e.signal() == SIGKILL);
      }
      // What a task starts sees the owner's choice.
      DEMAND(pool.submit([] { return ::signal(SIGCHLD, SIG_DFL) == SIG_IGN; }).get());
    }
    DEMAND(descendants_of(::getpid()).empty());
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
}

TEST(ProcessPool, an_owner_that_waits_for_any_child_does_no_harm) {
  const ChildEnd end = in_child([] {
    ProcessPool pool(2);
    std::atomic<bool> over{false};
    std::thread waiter([&] {
      while (!over) {
        int status;
        ::waitpid(-1, &status, WNOHANG);
        nap();
      }
    });
    DEMAND(pool.submit(square, 3).get() == 9);
    try {
      pool.submit(meet_signal, SIGKILL).get();
      DEMAND(false);
    } catch (const WorkerDied&) {
    }
    DEMAND(pool.submit(square, 3).get() == 9);
    pool.shutdown();
    over = true;
    waiter.join();
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

// Forks --------------------------------------------------------------------------------------------

TEST(ProcessPool, a_task_may_fork_and_wait_for_its_child) {
  ProcessPool pool(2);
  for (int i = 0; i < 20; ++i) {
    const int status = pool.submit([](int code) {
      const pid_t pid = ::fork();
      if (pid == 0) ::_exit(code);
      int s = 0;
      ::waitpid(pid, &s, 0);
      return WEXITSTATUS(s);
    }, i).get();
    ASSERT_EQ(status, i);
  }
}

TEST(ProcessPool, a_child_that_a_task_forked_does_not_become_a_second_worker) {
  ProcessPool pool(1);
  const pid_t worker = pool.submit(::getpid).get();
  const bool is_child = pool.submit([] { return ::fork() == 0; }).get();
  EXPECT_FALSE(is_child) << "the result is the worker's";
  for (int i = 0; i < 500; ++i) ASSERT_EQ(pool.submit(::getpid).get(), worker);
}

TEST(ProcessPool, a_pool_in_a_forked_child_refuses_and_its_destructor_does_nothing) {
  auto pool = std::make_unique<ProcessPool>(2);
  auto pending = pool->submit([] { board().pass_gate(); return 7; });
  auto finished = pool->submit(square, 5);
  finished.wait();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    auto refuses = [](auto&& f) {
      try {
        f();
      } catch (const PoolClosed&) {
        return true;
      }
      return false;
    };
    int bad = 0;
    if (!refuses([&] { pool->submit(square, 1); })) bad |= 1;
    if (!refuses([&] { pool->map(square, std::vector{1, 2}).collect(); })) bad |= 2;
    if (!refuses([&] { pending.get(); })) bad |= 4;
    if (!pending.done()) bad |= 8;
    if (finished.get() != 25) bad |= 16;
    pending.cancel(true);
    pool->shutdown();
    pool.reset();
#if !defined(__SANITIZE_THREAD__)  // its runtime has no threads in the child of a process with threads
    ProcessPool own(1);
    if (own.submit(square, 6).get() != 36) bad |= 32;
    own.shutdown();
#endif
    ::_exit(bad);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << WEXITSTATUS(status) << " " << WTERMSIG(status);
  board().gate.store(1);
  EXPECT_EQ(pending.get(), 7);
  EXPECT_EQ(pool->submit(square, 8).get(), 64);
}

TEST(ProcessPool, a_child_forked_while_threads_use_the_pool_is_not_hurt) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "this sanitizer's allocator does not survive a fork beside threads that allocate";
#endif
  ProcessPool pool(2);
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      while (!over)
        if (pool.submit(square, 3).get() != 9) std::abort();
    });
  for (int i = 0; i < 20; ++i) {
    auto f = pool.submit([](int x) { nap(1ms); return x; }, i);
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      try {
        f.get();
      } catch (const PoolClosed&) {
      }
      try {
        pool.submit(square, 1);
        ::_exit(1);
      } catch (const PoolClosed&) {
      }
      pool.shutdown();
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(f.get(), i);
  }
  over = true;
  for (auto& t : threads) t.join();
}

// Limits -------------------------------------------------------------------------------------------

void limit(__rlimit_resource what, rlim_t to) {
  const rlimit l{to, to};
  DEMAND(::setrlimit(what, &l) == 0);
}

/// In a child of its own: making a pool says ResourceExhausted and leaves nothing, as often as it is tried.
int cannot_make_a_pool(unsigned workers) {
  const Holdings before = Holdings::of_this_process();
  for (int i = 0; i < 3; ++i) {
    try {
      ProcessPool pool(workers);
      std::printf("the pool was made\n");
      return 1;
    } catch (const ResourceExhausted& e) {
      DEMAND(std::string(e.what()).size() > 10);
    }
  }
  DEMAND(eventually([] { return descendants_of(::getpid()).empty(); }));
  const std::string left = Holdings::of_this_process().beyond(before);
  if (!left.empty() && left.find("mapping") != 0) {
    std::printf("left: %s\n", left.c_str());
    return 2;
  }
  return 0;
}

#if !defined(__SANITIZE_ADDRESS__)  // the undefined-behaviour checks make pipes to look at memory
TEST(ProcessPool, too_few_descriptors_are_an_exception) {
  int made = 0;
  for (rlim_t more = 0; more < 12; ++more) {
    const ChildEnd end = in_child([more] {
      limit(RLIMIT_NOFILE, 256);
      std::vector<int> fillers;
      for (int fd; (fd = ::dup(STDERR_FILENO)) >= 0;) fillers.push_back(fd);
      for (rlim_t i = 0; i < more; ++i) {
        ::close(fillers.back());
        fillers.pop_back();
      }
      for (int i = 0; i < 3; ++i) {
        try {
          ProcessPool pool(2);
          if (pool.submit(square, 3).get() == 9) return 50;
        } catch (const ResourceExhausted&) {
        }
      }
      return 0;
    });
    ASSERT_TRUE(end.exited_with(0) || end.exited_with(50)) << more << ": " << end;
    EXPECT_TRUE(end.alone) << more << ": " << end;
    if (end.exited_with(50)) ++made;
  }
  EXPECT_GT(made, 0);
  EXPECT_LT(made, 12);
}
#endif

#if !defined(__SANITIZE_THREAD__)  // its runtime has a thread of its own in each process
TEST(ProcessPool, too_few_processes_are_an_exception) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root, to become a user with no other processes";
  int made = 0;
  for (rlim_t most = 1; most < 8; ++most) {
    const ChildEnd end = in_child([most] {
      DEMAND(::setresgid(64'123, 64'123, 64'123) == 0);
      const rlimit l{most, most};
      DEMAND(::setrlimit(RLIMIT_NPROC, &l) == 0);
      DEMAND(::setresuid(64'123, 64'123, 64'123) == 0);
      for (int i = 0; i < 3; ++i) {
        try {
          ProcessPool pool(2);
          return pool.submit(square, 3).get() == 9 ? 50 : 51;
        } catch (const ResourceExhausted& e) {
          DEMAND(e.error_number() == EAGAIN);
        }
        DEMAND(eventually([] { return descendants_of(::getpid()).empty(); }));
      }
      return 0;
    });
    ASSERT_TRUE(end.exited_with(0) || end.exited_with(50)) << most << ": " << end;
    EXPECT_TRUE(end.alone) << most << ": " << end;
    if (end.exited_with(50)) ++made;
  }
  EXPECT_GT(made, 0);
  EXPECT_LT(made, 7);
}

TEST(ProcessPool, a_worker_that_cannot_be_replaced_now_is_replaced_later) {
  if (::getuid() != 0) GTEST_SKIP() << "needs root, to become a user with no other processes";
  const ChildEnd end = in_child([] {
    DEMAND(::setresgid(64'124, 64'124, 64'124) == 0);
    const rlimit five{5, 5};  // owner, its service thread, the fork server, two workers
    DEMAND(::setrlimit(RLIMIT_NPROC, &five) == 0);
    DEMAND(::setresuid(64'124, 64'124, 64'124) == 0);
    ProcessPool pool(2);
    const pid_t filler_parent = ::getpid();
    // A stranger takes the free place as soon as the worker is gone.
    auto hold = pool.submit([] { board().pass_gate(); return 1; });
    DEMAND(eventually([] { return board().at_gate.load() == 1; }));
    pid_t victim = 0;
    for (const pid_t pid : pool.worker_pids()) victim = pid;
    std::vector<pid_t> fillers;
    ::kill(victim, SIGKILL);
    while (fillers.empty() && !eventually([&] { return pool.stats().workers_started > 2; }, 1ms)) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        while (::getppid() == filler_parent) nap(5ms);
        ::_exit(0);
      }
      if (pid > 0) fillers.push_back(pid);
    }
    nap(100ms);
    for (const pid_t pid : fillers) ::kill(pid, SIGKILL);
    for (const pid_t pid : fillers) ::waitpid(pid, nullptr, 0);
    DEMAND(eventually([&] { return pool.worker_pids().size() == 2; }));
    board().gate.store(1);
    for (int i = 0; i < 10; ++i) DEMAND(pool.submit(square, i).get() == i * i);
    try {
      hold.get();
    } catch (const WorkerDied&) {
    }
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

#endif

TEST(ProcessPool, too_small_a_file_limit_is_an_exception) {
  const ChildEnd end = in_child([] {
    limit(RLIMIT_FSIZE, 1 << 20);
    return cannot_make_a_pool(2);
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
const bool address_space_bodies = [] {
  FirstPool::bodies()["too small an address space"] = [] {
    limit(RLIMIT_AS, rlim_t{200} << 20);
    return cannot_make_a_pool(2);
  };
  FirstPool::bodies()["a modest address space"] = [] {
    limit(RLIMIT_AS, rlim_t{2} << 30);
    ProcessPool pool(2);
    auto make = [](std::size_t n) { return std::string(n, 'x'); };
    DEMAND(pool.submit(make, std::size_t{1'000'000}).get().size() == 1'000'000);
    bool refused = false;
    try {
      (void)pool.submit(make, std::size_t{1} << 29).get();
    } catch (const ResourceExhausted&) {
      refused = true;
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    DEMAND(refused);
    DEMAND(pool.submit(square, 3).get() == 9);
    return 0;
  };
  return true;
}();

TEST(ProcessPool, too_small_an_address_space_is_an_exception) {
  const ChildEnd end = alone("too small an address space");
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

TEST(ProcessPool, a_modest_address_space_is_enough) {
  const ChildEnd end = alone("a modest address space");
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}
#endif

TEST(ProcessPool, an_argument_that_does_not_fit_is_an_exception_and_the_pool_goes_on) {
  const ChildEnd end = in_child([] {
    limit(RLIMIT_FSIZE, rlim_t{1} << 30);
    ::signal(SIGXFSZ, SIG_DFL);
    ProcessPool pool(2);
    bool refused = false;
    try {
      pool.submit([](const std::string& s) { return s.size(); }, std::string(std::size_t{300} << 20, 'a')).get();
    } catch (const ResourceExhausted&) {
      refused = true;
    }
    DEMAND(refused);
    DEMAND(pool.submit(square, 3).get() == 9);
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

// Faults of single calls ---------------------------------------------------------------------------

TEST(ProcessPool, every_call_that_fails_while_a_pool_is_made_is_an_exception_that_leaves_nothing) {
  static const char* failing = nullptr;
  static int left_to_pass = 0;
  for (const char* call : {"memfd_create", "fallocate", "eventfd", "pidfd_open", "fork", "pthread_create", "mmap"}) {
    for (int pass = 0; pass < 3; ++pass) {
      const ChildEnd end = in_child([call, pass] {
        failing = call;
        left_to_pass = pass;
        const Holdings before = Holdings::of_this_process();
        retinue::detail::set_fault_injector([](const char* name) noexcept {
          if (std::strcmp(name, failing) != 0) return 0;
          return left_to_pass-- <= 0 ? ENOMEM : 0;
        });
        bool made = false;
        try {
          ProcessPool pool(2);
          made = true;
          try {
            pool.submit(square, 3).get();
          } catch (const PoolClosed&) {
          }
        } catch (const ResourceExhausted& e) {
          DEMAND(std::string(e.what()).size() > 5);
        }
        retinue::detail::set_fault_injector(nullptr);
        (void)made;
        DEMAND(eventually([] { return descendants_of(::getpid()).empty(); }));
        ProcessPool pool(2);
        DEMAND(pool.submit(square, 3).get() == 9);
        pool.shutdown();
        DEMAND(Holdings::of_this_process().threads <= before.threads);
        return 0;
      });
      EXPECT_TRUE(end.exited_with(0)) << call << " after " << pass << ": " << end;
      EXPECT_TRUE(end.alone) << call << " after " << pass << ": " << end;
    }
  }
}

}  // namespace
