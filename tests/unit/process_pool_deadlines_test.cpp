// Tasks that run longer than their timeout.
#include "pool_tasks.hpp"

#include <ranges>
#include <string>
#include <vector>

namespace process_pool_deadlines_test {

using namespace retinue_test;
using retinue::Cancelled;
using retinue::Future;
using retinue::ProcessPool;
using retinue::TaskTimeout;

TEST(ProcessPool, a_task_past_its_timeout_is_stopped_and_its_worker_replaced) {
  ProcessPool pool(2);
  auto neighbour = pool.submit([] {
    board().pass_gate();
    return ::getpid();
  });
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
  auto stuck = pool.with({.timeout = 50ms}).submit([] {
    for (;;) nap(1s);
  });
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
  for (int i = 0; i < 6; ++i) futures.push_back(pool.with({.timeout = 20ms}).submit([] { spin_for_ever(); }));
  for (auto& f : futures) EXPECT_THROW(f.get(), TaskTimeout);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPool, a_task_whose_worker_is_stopped_times_out) {
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

TEST(ProcessPool, a_map_with_timeouts_loses_only_the_tasks_past_them) {
  ProcessPool pool(2);
  int good = 0, late = 0;
  for (auto& outcome : pool.with({.timeout = 1s * kPatience})
                           .map(
                               [](int x) {
                                 while (x % 25 == 7) nap(1s);
                                 return x;
                               },
                               std::views::iota(0, 100))
                           .outcomes()) {
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
  auto forever = [] {
    for (;;) nap(1s);
  };
  auto l = pool.with({.timeout = 60s * kPatience}).submit(forever);
  auto s = pool.with({.timeout = 20ms}).submit(forever);
  auto m = pool.with({.timeout = 200ms}).submit(forever);
  EXPECT_THROW(s.get(), TaskTimeout);
  EXPECT_THROW(m.get(), TaskTimeout);
  EXPECT_FALSE(l.done());
  EXPECT_TRUE(l.cancel(true));
  EXPECT_THROW(l.get(), Cancelled);
}

}  // namespace process_pool_deadlines_test
