// How pools begin and end, and that nothing is left of them.
#include "support/process_watch.hpp"

#include <algorithm>
#include <dlfcn.h>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <retinue/process_pool.hpp>

namespace process_pool_lifecycle_test {

using namespace retinue_test;
using retinue::Cancelled;
using retinue::Future;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::WorkerDied;

int square(int x) { return x * x; }
int gated(int x) {
  board().pass_gate();
  return x;
}

TEST(ProcessPoolLife, a_pool_that_did_nothing_leaves_nothing) {
  for (const unsigned workers : {1u, 2u, 7u}) ProcessPool pool(workers);
}

TEST(ProcessPoolLife, its_processes_are_one_server_and_its_workers) {
  ProcessPool pool(3);
  EXPECT_TRUE(eventually([&] { return descendants_of(::getpid()).size() == 4; }));
  const auto servers = fork_servers_of(::getpid());
  ASSERT_EQ(servers.size(), 1u);
  for (const pid_t pid : pool.worker_pids()) EXPECT_EQ(process_info(pid).parent, servers[0]);
  pool.shutdown();
  EXPECT_TRUE(descendants_of(::getpid()).empty()) << "gone when shutdown returns, not later";
}

TEST(ProcessPoolLife, the_destructor_finishes_what_was_submitted) {
  std::vector<Future<int>> futures;
  {
    ProcessPool pool(2);
    for (int i = 0; i < 20'000; ++i) futures.push_back(pool.submit(square, i % 100));
  }
  for (std::size_t i = 0; i < futures.size(); ++i) {
    ASSERT_TRUE(futures[i].done());
    ASSERT_EQ(futures[i].get(), static_cast<int>(i % 100 * (i % 100)));
  }
}

TEST(ProcessPoolLife, the_destructor_finishes_what_has_to_be_run_again) {
  Future<int> f;
  {
    ProcessPool pool(1);
    f = pool.with({.retries = 2}).submit([] {
      if (board().counters[0].fetch_add(1) < 2) std::raise(SIGKILL);
      return 5;
    });
  }
  EXPECT_EQ(f.get(), 5);
}

TEST(ProcessPoolLife, shutdown_may_be_called_again_and_refuses_new_work) {
  ProcessPool pool(2);
  auto f = pool.submit(square, 3);
  pool.shutdown();
  pool.shutdown();
  pool.shutdown(true);
  pool.terminate();
  EXPECT_EQ(f.get(), 9);
  EXPECT_THROW(pool.submit(square, 1), PoolClosed);
  EXPECT_THROW(pool.map(square, std::vector{1}).collect(), PoolClosed);
  EXPECT_TRUE(pool.worker_pids().empty());
  const auto stats = pool.stats();
  EXPECT_EQ(stats.submitted, 1u);
  EXPECT_EQ(stats.finished, 1u);
  EXPECT_EQ(stats.workers_alive, 0u);
}

TEST(ProcessPoolLife, shutdown_may_cancel_what_has_not_started) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.slot_count = 64;
  ProcessPool pool(options);
  std::vector<Future<int>> futures;
  for (int i = 0; i < 500; ++i) futures.push_back(pool.submit(gated, i));
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 2; }));
  std::thread opener([&] {
    eventually([&] { return std::all_of(futures.begin() + 2, futures.end(), [](auto& f) { return f.done(); }); });
    board().gate.store(1);
  });
  pool.shutdown(true);
  opener.join();
  EXPECT_EQ(futures[0].get(), 0);
  EXPECT_EQ(futures[1].get(), 1);
  for (std::size_t i = 2; i < futures.size(); ++i) ASSERT_THROW(futures[i].get(), Cancelled);
  EXPECT_EQ(board().at_gate.load(), 2);
  EXPECT_EQ(pool.stats().cancelled, 498u);
}

TEST(ProcessPoolLife, terminate_ends_running_tasks_too) {
  ProcessPool pool(2);
  std::vector<Future<int>> futures;
  for (int i = 0; i < 10'000; ++i) futures.push_back(pool.submit(gated, i));
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 2; }));
  pool.terminate();
  int died = 0, cancelled = 0;
  for (auto& f : futures) {
    try {
      f.get();
    } catch (const WorkerDied& e) {
      EXPECT_EQ(e.signal(), SIGKILL);
      ++died;
    } catch (const Cancelled&) {
      ++cancelled;
    }
  }
  EXPECT_EQ(died, 2);
  EXPECT_EQ(cancelled, 9998);
  EXPECT_THROW(pool.submit(square, 1), PoolClosed);
  EXPECT_TRUE(descendants_of(::getpid()).empty());
}

TEST(ProcessPoolLife, terminate_hurries_a_shutdown_under_way) {
  ProcessPool pool(2);
  auto f = pool.submit(gated, 1);
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
  std::thread patient([&] { pool.shutdown(); });
  nap(20ms);
  pool.terminate();
  patient.join();
  EXPECT_THROW(f.get(), WorkerDied);
}

TEST(ProcessPoolLife, terminate_does_not_run_tasks_again) {
  ProcessPool pool(2);
  auto f = pool.with({.retries = 5}).submit(gated, 1);
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
  pool.terminate();
  EXPECT_THROW(f.get(), WorkerDied);
  EXPECT_EQ(board().at_gate.load(), 1);
}

TEST(ProcessPoolLife, several_threads_may_end_a_pool_at_once) {
  for (int round = 0; round < 10; ++round) {
    ProcessPool pool(2);
    std::vector<Future<int>> futures;
    for (int i = 0; i < 500; ++i) futures.push_back(pool.submit(square, i));
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        pool.shutdown(t == 3);
        EXPECT_THROW(pool.submit(square, 1), PoolClosed);
      });
    for (auto& thread : threads) thread.join();
    for (auto& f : futures) EXPECT_TRUE(f.done());
  }
}

TEST(ProcessPoolLife, threads_that_submit_while_the_pool_ends_are_refused_and_lose_nothing) {
  for (int round = 0; round < 10; ++round) {
    ProcessPool pool(2);
    std::atomic<int> accepted{0}, right{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        std::vector<Future<int>> futures;
        try {
          for (int i = 0;; ++i) {
            futures.push_back(pool.submit(square, i));
            ++accepted;
          }
        } catch (const PoolClosed&) {
        }
        for (std::size_t i = 0; i < futures.size(); ++i)
          if (futures[i].get() == static_cast<int>(i) * static_cast<int>(i)) ++right;
      });
    nap(3ms);
    pool.shutdown();
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(accepted.load(), right.load());
  }
}

TEST(ProcessPoolLife, threads_waiting_when_the_pool_is_terminated_are_released) {
  ProcessPool pool(2);
  std::vector<std::thread> threads;
  std::atomic<int> released{0};
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      auto f = pool.submit(gated, t);
      try {
        f.get();
      } catch (const retinue::Error&) {
        ++released;
      }
    });
  ASSERT_TRUE(eventually([&] { return board().at_gate.load() == 2 && pool.stats().submitted == 6; }));
  pool.terminate();
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(released.load(), 6);
}

TEST(ProcessPoolLife, many_pools_in_a_row_leave_as_little_as_one) {
  const Holdings before = Holdings::of_this_process();
  for (int i = 0; i < 100 / (kSlowdown > 1 ? 4 : 1); ++i) {
    ProcessPool pool(2);
    if (i % 3 == 0) continue;
    ASSERT_EQ(pool.submit(square, i).get(), i * i);
    if (i % 3 == 1) pool.terminate();
  }
  EXPECT_EQ(Holdings::of_this_process().beyond(before), "");
}

TEST(ProcessPoolLife, many_pools_in_a_row_do_not_use_up_the_region) {
  auto use = [] {
    ProcessPool pool(2);
    for (int i = 0; i < 4; ++i)
      EXPECT_EQ(pool.submit([](const std::string& s) { return s + s; }, std::string(2'000'000, 'x')).get().size(),
                4'000'000u);
    pool.submit([] { std::raise(SIGKILL); }).wait();
  };
  auto resident = [] {  // pages of the region's file, whoever maps them
    std::istringstream status(text_of("/proc/self/status"));
    for (std::string line; std::getline(status, line);)
      if (line.rfind("RssShmem:", 0) == 0) return std::stol(line.substr(9)) / 1024;
    return 0L;
  };
  for (int i = 0; i < 3; ++i) use();
  const long before = resident();
  for (int i = 0; i < 20; ++i) use();
  EXPECT_LT(resident(), before + 30) << "MiB";
}

TEST(ProcessPoolLife, pools_are_made_in_several_threads_at_once) {
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        ProcessPool pool(2);
        int sum = 0;
        for (int y : pool.map(square, std::views::iota(0, 100))) sum += y;
        if (sum == 328'350 && pool.submit(square, t).get() == t * t) ++right;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right.load(), 30);
}

TEST(ProcessPoolLife, a_pool_lives_on_when_the_thread_that_made_it_ends) {
  std::optional<ProcessPool> pool;
  std::thread([&] { pool.emplace(2u); }).join();
  nap(20ms);
  EXPECT_EQ(pool->submit(square, 3).get(), 9);
  EXPECT_EQ(pool->stats().workers_died, 0u);
  std::thread([&] { pool.reset(); }).join();
}

TEST(ProcessPoolLife, the_other_pool_does_not_notice_the_end_of_one) {
  ProcessPool stays(2);
  auto f = stays.submit(gated, 4);
  const std::string kept = stays.submit([] { return std::string(500'000, 'k'); }).get();
  for (int i = 0; i < 5; ++i) {
    ProcessPool goes(2);
    EXPECT_EQ(goes.submit([](const std::string& s) { return s.size(); }, kept).get(), kept.size());
    if (i % 2) goes.terminate();
  }
  EXPECT_FALSE(f.done());
  board().gate.store(1);
  EXPECT_EQ(f.get(), 4);
  EXPECT_EQ(stays.stats().workers_died, 0u);
}

TEST(ProcessPoolLife, results_stay_readable_when_their_worker_and_pool_are_gone) {
  std::vector<Future<std::string>> kept;
  for (int i = 0; i < 5; ++i) {
    ProcessPool pool(2);
    kept.push_back(pool.submit([](int k) { return std::string(300'000, static_cast<char>('a' + k)); }, i));
    kept.back().wait();
    for (const pid_t pid : pool.worker_pids()) ::kill(pid, SIGKILL);
    EXPECT_EQ(pool.submit([](const std::string& s) { return s.size(); }, std::string(700'000, 'z')).get(), 700'000u);
  }
  for (std::size_t i = 0; i < kept.size(); ++i)
    EXPECT_EQ(kept[i].get(), std::string(300'000, static_cast<char>('a' + i)));
}

std::size_t open_descriptors() { return names_in("/proc/self/fd").size(); }

TEST(ProcessPoolLife, a_future_that_is_kept_keeps_no_descriptor) {
  const std::size_t before = open_descriptors();
  retinue::Future<std::string> read, unread, cancelled;
  {
    ProcessPool pool(2);
    EXPECT_EQ(open_descriptors(), before);  // nor does the pool itself
    read = pool.submit([] { return std::string("read"); });
    unread = pool.submit([] { return std::string(100'000, 'u'); });
    cancelled = pool.submit([] {
      nap(1s);
      return std::string();
    });
    EXPECT_EQ(read.get(), "read");
    unread.wait();
    pool.terminate();
    EXPECT_EQ(open_descriptors(), before);
  }
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(unread.get().size(), 100'000u);
  EXPECT_FALSE(cancelled.cancel(true));
  int called = 0;
  cancelled.on_done([&](const auto&) { ++called; });
  EXPECT_EQ(called, 1);
}

TEST(ProcessPoolLife, a_future_that_is_kept_keeps_no_descriptor_of_a_pool_that_a_callback_has_ended) {
  const std::size_t before = open_descriptors();
  ProcessPool pool(1);
  const auto ender = pool.submit([] {
    board().pass_gate();
    return 1;
  });
  ender.on_done([&](const auto&) { pool.terminate(); });
  board().gate.store(1);
  EXPECT_TRUE(eventually([&] { return open_descriptors() == before; }));
  EXPECT_EQ(ender.get(), 1);
}

TEST(ProcessPoolLife, an_idle_worker_that_was_stopped_does_not_stop_the_end) {
  ProcessPool pool(2);
  ::kill(pool.submit(::getpid).get(), SIGSTOP);
  pool.shutdown();
  EXPECT_TRUE(descendants_of(::getpid()).empty());
}

TEST(ProcessPoolLife, a_worker_starts_with_the_signals_of_its_owner) {
  sigset_t block, before;
  sigemptyset(&block);
  sigaddset(&block, SIGUSR2);
  ::pthread_sigmask(SIG_BLOCK, &block, &before);
  {
    ProcessPool pool(1);
    EXPECT_TRUE(pool.submit([] {
                      sigset_t now;
                      ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
                      return sigismember(&now, SIGUSR2) == 1 && sigismember(&now, SIGUSR1) == 0 &&
                             sigismember(&now, SIGCHLD) == 0;
                    })
                    .get());
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST(ProcessPoolLife, making_a_pool_leaves_the_owners_signals_alone) {
  sigset_t before, after;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &before);
  struct sigaction chld_before{}, chld_after{}, segv_before{}, segv_after{};
  ::sigaction(SIGCHLD, nullptr, &chld_before);
  ::sigaction(SIGSEGV, nullptr, &segv_before);
  ProcessPool pool(2);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
  ::pthread_sigmask(SIG_SETMASK, nullptr, &after);
  ::sigaction(SIGCHLD, nullptr, &chld_after);
  ::sigaction(SIGSEGV, nullptr, &segv_after);
  for (int s = 1; s < 32; ++s) EXPECT_EQ(sigismember(&before, s), sigismember(&after, s)) << s;
  EXPECT_EQ(chld_before.sa_handler, chld_after.sa_handler);
  EXPECT_EQ(segv_before.sa_handler, segv_after.sa_handler);
}

TEST(ProcessPoolLife, a_worker_forked_by_a_task_through_popen_behaves) {
  ProcessPool pool(2);
  const std::string said = pool.submit([] {
                                 std::string text;
                                 std::FILE* pipe = ::popen("echo from a shell", "r");
                                 if (pipe == nullptr) return std::string("no pipe");
                                 for (int c; (c = std::fgetc(pipe)) != EOF;) text += static_cast<char>(c);
                                 return text + std::to_string(::pclose(pipe));
                               })
                               .get();
  EXPECT_EQ(said, "from a shell\n0");
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPoolLife, functions_of_a_library_loaded_after_the_pool_was_made_run_there) {
  ProcessPool pool(2);
  void* library = ::dlopen("libz.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) library = ::dlopen("libexpat.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) GTEST_SKIP() << "neither libz nor libexpat is here to be loaded";
  auto* version = reinterpret_cast<const char* (*)()>(::dlsym(library, "zlibVersion"));
  auto* checksum =
      reinterpret_cast<unsigned long (*)(unsigned long, const unsigned char*, unsigned)>(::dlsym(library, "crc32"));
  if (checksum == nullptr || version == nullptr) GTEST_SKIP() << "no crc32 in it";
  using Checksum = unsigned long (*)(unsigned long, const unsigned char*, unsigned);
  auto in_worker = [](Checksum f, const std::string& s) {
    return f(0, reinterpret_cast<const unsigned char*>(s.data()), static_cast<unsigned>(s.size()));
  };
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(pool.submit(in_worker, checksum, std::string("123456789")).get(), 0xcbf43926ul);
  ::dlclose(library);
}

}  // namespace process_pool_lifecycle_test
