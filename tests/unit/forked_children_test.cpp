// Children that code of the program's forks where the library calls it, and that return from there.
#include "pool_tasks.hpp"

#include <atomic>
#include <sys/wait.h>
#include <unistd.h>

#include <retinue/future.hpp>
#include <retinue/thread_pool.hpp>

namespace {

using namespace retinue_test;
using retinue::Future;
using retinue::ProcessPool;
using retinue::ThreadPool;

/// Forks; both return. The parent's board has the child's pid in counter 1.
void fork_and_return() {
  const pid_t pid = ::fork();
  if (pid > 0) board().counters[1].store(pid);
}

bool child_ends() {
  if (!eventually([] { return board().counters[1].load() != 0; })) return false;
  const auto pid = static_cast<pid_t>(board().counters[1].load());
  const bool ended = eventually([pid] { return is_gone(pid); });
  if (!ended) ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);  // a zombie is gone, too; it is not this process's child where a worker has forked it
  return ended;
}

TEST(ForkedChildren, of_a_callback_end_when_they_return_from_it) {
  ProcessPool pool(1);
  auto f = pool.submit(gated, 3);
  f.on_done([](Future<int>&) { fork_and_return(); });
  board().gate.store(1);
  EXPECT_TRUE(child_ends());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(pool.submit(square, i).get(), i * i);
}

TEST(ForkedChildren, of_a_callback_that_throws_end_too) {
  ProcessPool pool(1);
  auto f = pool.submit(gated, 3);
  f.on_done([](Future<int>&) {
    fork_and_return();
    throw 1;
  });
  board().gate.store(1);
  EXPECT_TRUE(child_ends());
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ForkedChildren, of_an_initializer_end_when_they_return_from_it) {
  for (const bool throws : {false, true}) {
    board().counters[1].store(0);
    retinue::ProcessPoolOptions options;
    options.workers = 1;
    options.initializer = [throws] {
      const pid_t parent = ::getpid();
      fork_and_return();
      if (throws && ::getpid() != parent) throw 1;
    };
    ProcessPool pool(options);
    EXPECT_EQ(pool.submit(square, 3).get(), 9);
    EXPECT_TRUE(child_ends());
    std::vector<Future<int>> futures;
    for (int i = 0; i < 1000; ++i)
      futures.push_back(pool.submit(
          [](int x) {
            board().counters[0].fetch_add(1);
            return x;
          },
          i));
    for (auto& future : futures) future.get();
    EXPECT_EQ(pool.stats().workers_started, 1u);
  }
  EXPECT_EQ(board().counters[0].load(), 2000) << "each task was run once";
}

TEST(ForkedChildren, of_a_task_in_a_thread_pool_end_when_they_return_from_it) {
  ThreadPool pool(1);
  auto first = pool.submit([] {
    board().pass_gate();
    fork_and_return();
  });
  auto second = pool.submit([] { board().counters[0].fetch_add(1); });
  board().gate.store(1);
  first.get();
  second.get();
  EXPECT_TRUE(child_ends());
  EXPECT_EQ(board().counters[0].load(), 1) << "the child did not run it again";
}

TEST(ForkedChildren, of_a_callback_of_a_task_out_of_time_end_when_they_return_from_it) {
  ThreadPool pool(1);
  auto f = pool.with({.timeout = 20ms}).submit([] { board().pass_gate(); });
  f.on_done([](Future<void>&) { fork_and_return(); });
  EXPECT_TRUE(child_ends());
  board().gate.store(1);
  EXPECT_THROW(f.get(), retinue::TaskTimeout);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

}  // namespace
