// Initializers, and workers that are replaced after so many tasks or so much memory.
#include "pool_tasks.hpp"

#include <chrono>
#include <map>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace process_pool_workers_test {

using namespace retinue_test;
using retinue::Future;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::WorkerDied;

TEST(ProcessPool, an_initializer_runs_once_in_each_worker_before_its_first_task) {
  static int ready_value = 0;
  ProcessPoolOptions options;
  options.workers = 3;
  int captured = 17;
  options.initializer = [captured] {
    ready_value += captured;
    board().counters[0].fetch_add(1);
  };
  ProcessPool pool(options);
  for (int v : pool.map([](int) { return ready_value; }, std::views::iota(0, 1000))) ASSERT_EQ(v, 17);
  EXPECT_EQ(ready_value, 0) << "it runs in workers only";
  EXPECT_TRUE(eventually([] { return board().counters[0].load() == 3; }));
}

TEST(ProcessPool, an_initializer_runs_in_replacements_too) {
  static int ready_value = 0;
  ProcessPoolOptions options;
  options.workers = 1;
  options.initializer = [] { ready_value = 5; };
  ProcessPool pool(options);
  EXPECT_THROW(pool.submit([] { ::_exit(1); }).get(), retinue::WorkerDied);
  EXPECT_EQ(pool.submit([] { return ready_value; }).get(), 5);
}

TEST(ProcessPool, workers_are_replaced_after_so_many_tasks_and_nothing_is_lost) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.max_tasks_per_worker = 10;
  ProcessPool pool(options);
  std::map<pid_t, int> by_pid;
  int expected = 0;
  for (auto [x, pid] : pool.map([](int i) { return std::pair{i, ::getpid()}; }, std::views::iota(0, 500))) {
    ASSERT_EQ(x, expected++);
    ++by_pid[pid];
  }
  EXPECT_EQ(expected, 500);
  EXPECT_GE(by_pid.size(), 50u);
  for (const auto& [pid, count] : by_pid) EXPECT_LE(count, 10) << pid;
  EXPECT_EQ(pool.stats().failed, 0u);
  EXPECT_EQ(pool.stats().workers_died, 0u) << "to retire is not to die";
  EXPECT_EQ(pool.submit(square, 4).get(), 16);
}

TEST(ProcessPool, a_worker_that_has_grown_too_large_is_replaced) {
  ProcessPoolOptions options;
  options.workers = 1;
  options.max_memory_per_worker = std::size_t{kSlowdown == 1 ? 64 : 512} << 20;
  ProcessPool pool(options);
  const pid_t first = pool.submit(::getpid).get();
  for (int i = 0; i < 50; ++i) ASSERT_EQ(pool.submit(::getpid).get(), first) << "small tasks do not wear a worker out";
  auto hoard = [](std::size_t bytes) {
    static std::vector<std::vector<char>> kept;
    kept.emplace_back(bytes, 'x');
    return ::getpid();
  };
  EXPECT_EQ(pool.submit(hoard, options.max_memory_per_worker + (16 << 20)).get(), first) << "its result still counts";
  const pid_t second = pool.submit(::getpid).get();
  EXPECT_NE(second, first);
  EXPECT_EQ(pool.stats().workers_died, 0u);
  EXPECT_TRUE(eventually([&] { return is_gone(first); }));
}

TEST(ProcessPool, a_worker_is_not_replaced_for_memory_that_it_inherits) {
  ProcessPoolOptions options;
  options.workers = 1;
  options.max_memory_per_worker = std::size_t{kSlowdown == 1 ? 64 : 512} << 20;
  const std::vector<char> owners(options.max_memory_per_worker + (64 << 20), 'x');
  ProcessPool pool(options);
  const pid_t first = pool.submit(::getpid).get();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(pool.submit(::getpid).get(), first) << "the next one would have it, too";
  EXPECT_EQ(owners.back(), 'x');
}

TEST(ProcessPool, options_are_honoured_for_pools_that_never_spin) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.spin = 0ns;
  ProcessPool pool(options);
  for (int i = 0; i < 2000 / kSlowdown; ++i) ASSERT_EQ(pool.submit(square, i).get(), i * i);
  int expected = 0;
  for (int y : pool.map(square, std::views::iota(0, 20'000))) {
    ASSERT_EQ(y, expected * expected);
    ++expected;
  }
  EXPECT_EQ(expected, 20'000);
}

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

TEST(ProcessPool, an_initializer_that_throws_what_does_not_travel_is_reported_by_name) {
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

TEST(ProcessPool, workers_that_die_of_what_the_initializer_has_started_end_the_pool_with_the_likely_reason) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.initializer = [owner = ::getpid()] {
    std::thread([owner] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      if (::getppid() != owner) ::_exit(3);
    }).detach();
  };
  ProcessPool pool(options);
  ASSERT_TRUE(eventually([&] { return pool.stats().workers_died > 4 + 4 * 2; }));
  try {
    pool.submit(square, 1);
    FAIL() << "the pool goes on";
  } catch (const PoolClosed& closed) {
    EXPECT_NE(std::string(closed.what()).find("exited with code 3"), std::string::npos) << closed.what();
    EXPECT_NE(std::string(closed.what()).find("getppid()"), std::string::npos) << closed.what();
  }
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
  futures.push_back(pool.submit([] {
    while (board().counters[1].load() == 0) nap();
    std::raise(SIGKILL);
  }));
  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit([] { board().pass_gate(); }));
  board().counters[1].store(1);  // not before all are submitted: the pool ends soon after
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

}  // namespace process_pool_workers_test
