// The fork server and the owner are killed, leave, and fork.
#include "pool_tasks.hpp"

#include <ranges>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <vector>

#include <retinue/shared_memory.hpp>

namespace process_pool_owner_test {

using namespace retinue_test;
using retinue::Future;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::WorkerDied;

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
    for (auto& outcome : pool.map(
                                 [](int x) {
                                   nap(1ms);
                                   return x;
                                 },
                                 std::views::iota(0))
                             .outcomes()) {
      if (++taken == 50) ::kill(fork_servers_of(::getpid()).at(0), SIGKILL);
      EXPECT_TRUE(outcome.ok() || taken >= 50);
    }
    ADD_FAILURE() << "an endless input ended";
  } catch (const PoolClosed&) {
  }
  EXPECT_GE(taken, 50);
}

TEST(ProcessPool, arguments_of_tasks_that_ran_when_the_fork_server_was_killed_are_freed_with_the_pool) {
  const auto before = retinue::shared_memory_usage();
  ProcessPool pool(2);
  std::vector<retinue::Future<void>> futures;
  for (int i = 0; i < 4; ++i)
    futures.push_back(pool.submit([](const std::vector<int>&) { board().pass_gate(); }, std::vector<int>(100'000)));
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 2; }));
  ::kill(fork_servers_of(::getpid()).at(0), SIGKILL);
  for (auto& f : futures) EXPECT_THROW(f.get(), PoolClosed);
  futures.clear();
  pool.shutdown();
  EXPECT_EQ(retinue::shared_memory_usage().bytes_in_use, before.bytes_in_use);
  EXPECT_EQ(retinue::shared_memory_usage().blocks, before.blocks);
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
    struct sigaction action{};
    action.sa_handler = [](int) { seen = 1; };
    ::sigaction(SIGINT, &action, nullptr);
    ProcessPool pool(2);
    auto f = pool.submit([] {
      board().pass_gate();
      return 5;
    });
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
  bodies_of_their_own()["a pool in a static"] = [] {
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
    const int status = pool.submit(
                               [](int code) {
                                 const pid_t pid = ::fork();
                                 if (pid == 0) ::_exit(code);
                                 int s = 0;
                                 ::waitpid(pid, &s, 0);
                                 return WEXITSTATUS(s);
                               },
                               i)
                           .get();
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
  auto pending = pool->submit([] {
    board().pass_gate();
    return 7;
  });
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
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's allocator does not survive a fork beside threads that allocate";
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
    auto f = pool.submit(
        [](int x) {
          nap(1ms);
          return x;
        },
        i);
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

TEST(ProcessPool, the_death_of_a_worker_may_be_asked_to_end_the_pool) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.break_on_worker_death = true;
  ProcessPool pool(options);
  EXPECT_THROW(pool.with({.timeout = 50ms}).submit(spin_for_ever).get(), retinue::TaskTimeout);
  EXPECT_EQ(pool.submit(square, 3).get(), 9) << "a worker that the pool itself stopped is no death";
  auto dying = pool.submit([] {
    board().pass_gate();
    leave_with(3);
  });
  std::vector<retinue::Future<int>> others;
  for (int i = 0; i < 50; ++i)
    others.push_back(pool.submit(
        [](int x) {
          nap(100ms);
          return x;
        },
        i));
  board().gate.store(1);
  EXPECT_THROW(dying.get(), WorkerDied);
  EXPECT_THROW(others.back().get(), PoolClosed);
  EXPECT_THROW(pool.submit(square, 3), PoolClosed);
}

}  // namespace process_pool_owner_test
