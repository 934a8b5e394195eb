// Too few descriptors, processes, files and memory, and system calls that fail.
#include "pool_tasks.hpp"

#include <new>
#include <pthread.h>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <vector>

#include "system/fault.hpp"

namespace process_pool_limits_test {

using namespace retinue_test;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::ResourceExhausted;
using retinue::WorkerDied;

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
    const rlimit six{6, 6};  // owner, its two threads, the fork server, two workers
    DEMAND(::setrlimit(RLIMIT_NPROC, &six) == 0);
    DEMAND(::setresuid(64'124, 64'124, 64'124) == 0);
    ProcessPool pool(2);
    const pid_t filler_parent = ::getpid();
    // A stranger takes the free place as soon as the worker is gone.
    auto hold = pool.submit([] {
      board().pass_gate();
      return 1;
    });
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
  bodies_of_their_own()["too small an address space"] = [] {
    limit(RLIMIT_AS, rlim_t{200} << 20);
    return cannot_make_a_pool(2);
  };
  bodies_of_their_own()["a modest address space"] = [] {
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

constexpr rlim_t kGigabyte = rlim_t{1} << 30;

retinue::ProcessPoolOptions with_initializer(std::function<void()> initializer) {
  retinue::ProcessPoolOptions options;
  options.workers = 1;
  options.initializer = std::move(initializer);
  return options;
}

TEST(ProcessPool, an_initializer_may_limit_its_workers_address_space) {
  ProcessPool pool(with_initializer([] {
    const rlimit soft{kGigabyte, RLIM_INFINITY};
    if (::setrlimit(RLIMIT_AS, &soft) != 0) throw std::runtime_error("setrlimit");
  }));
  auto make = [](std::size_t n) { return std::string(n, 'x').size(); };
  EXPECT_EQ(pool.submit(make, std::size_t{100} << 20).get(), std::size_t{100} << 20);
  EXPECT_THROW(pool.submit(make, std::size_t{2} << 30).get(), std::bad_alloc);
  EXPECT_EQ(pool.submit([](std::size_t n) { return std::string(n, 'x'); }, std::size_t{1} << 20).get().size(),
            std::size_t{1} << 20);
  EXPECT_EQ(pool.stats().workers_started, 1u);
}

TEST(ProcessPool, an_address_space_that_an_initializer_has_limited_for_good_is_an_error_that_says_what_to_use) {
  for (const bool throws : {false, true}) {
    ProcessPool pool(with_initializer([throws] {
      if (::getuid() == 0 && ::setresuid(65534, 65534, 65534) != 0)
        throw std::runtime_error("setresuid");  // who could lift it again
      const rlimit hard{kGigabyte, kGigabyte};
      if (::setrlimit(RLIMIT_AS, &hard) != 0) throw std::runtime_error("setrlimit");
      if (throws) throw std::bad_alloc();
    }));
    auto e = thrown_by<PoolClosed>([&] { pool.submit(square, 3).get(); });
    ASSERT_TRUE(e);
    EXPECT_NE(std::string(e->what()).find("WorkerLimits::address_space"), std::string::npos) << e->what();
    EXPECT_NE(std::string(e->what()).find("RLIMIT_AS to 1073741824"), std::string::npos) << e->what();
  }
}

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
  for (const char* call : {"memfd_create", "fallocate", "fork", "pthread_create", "mmap"}) {
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

}  // namespace process_pool_limits_test
