// Some executor: whatever it holds, it does what that one does.
#include "pool_tasks.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <retinue/any_executor.hpp>
#include <retinue/as_completed.hpp>

namespace any_executor_test {

using namespace retinue_test;
using namespace std::chrono_literals;
using retinue::AnyExecutor;
using retinue::ProcessPool;
using retinue::SerialExecutor;
using retinue::ThreadPool;

static_assert(retinue::Executor<AnyExecutor>);
static_assert(std::copyable<AnyExecutor>);
static_assert(std::convertible_to<ProcessPool&, AnyExecutor> && std::convertible_to<ThreadPool, AnyExecutor>);
static_assert(std::convertible_to<std::shared_ptr<SerialExecutor>, AnyExecutor>);
static_assert(!std::convertible_to<int, AnyExecutor> && !std::convertible_to<const ThreadPool&, AnyExecutor>);

int odd_is_an_error(int x) {
  if (x % 2 != 0) throw std::domain_error("odd: " + std::to_string(x));
  return x;
}

int slow_if_first(int x) {
  if (x == 0) std::this_thread::sleep_for(200ms);
  return x;
}

class AnyExecutorOverEach : public testing::TestWithParam<const char*> {
 protected:
  static AnyExecutor made() {
    const std::string name = GetParam();
    if (name == "processes") return ProcessPool(2);
    if (name == "threads") return ThreadPool(2);
    return SerialExecutor();
  }
  static bool is_serial() { return GetParam() == std::string("serial"); }
};
INSTANTIATE_TEST_SUITE_P(Over, AnyExecutorOverEach, testing::Values("processes", "threads", "serial"),
                         [](const auto& of) { return std::string(of.param); });

TEST_P(AnyExecutorOverEach, has_every_member_of_an_executor) {
  AnyExecutor any = made();
  EXPECT_EQ(any.workers(), is_serial() ? 1U : 2U);
  EXPECT_EQ(any.submit(square, 7).get(), 49);
  EXPECT_EQ(any.submit([](const std::string& a, int n) { return a + std::to_string(n); }, "task ", 3).get(), "task 3");
  any.submit([] {}).get();

  std::vector<int> inputs(100), expected(100);
  std::iota(inputs.begin(), inputs.end(), 0);
  std::ranges::transform(inputs, expected.begin(), square);
  EXPECT_EQ(any.map(square, inputs).collect(), expected);
  auto unordered = any.map_unordered(square, std::views::iota(0, 100)).collect();
  std::ranges::sort(unordered);
  EXPECT_EQ(unordered, expected);
  EXPECT_EQ(any.map([](int a, int b) { return a - b; }, inputs, inputs).collect(), std::vector<int>(100, 0));
  EXPECT_EQ(any.map_reduce(square, inputs, 0), 328'350);
  EXPECT_EQ(any.map_reduce(square, inputs, 0, [](int a, int b) { return std::max(a, b); }), 99 * 99);
  any.for_each([](int x) { return x; }, inputs);
  EXPECT_EQ(any.with({.look_ahead = 1}).map(square, inputs).collect(), expected);
  EXPECT_EQ(any.with({.retries = 1}).submit(square, 3).get(), 9);
}

TEST_P(AnyExecutorOverEach, keeps_what_a_task_throws_for_its_future_and_its_item) {
  AnyExecutor any = made();
  auto f = any.submit(odd_is_an_error, 3);
  EXPECT_THROW(f.get(), std::domain_error);
  EXPECT_THROW(any.for_each(odd_is_an_error, std::views::iota(0, 10)), std::domain_error);
  std::vector<std::uint64_t> failed;
  for (const auto& outcome : any.map(odd_is_an_error, std::views::iota(0, 6)).outcomes())
    if (!outcome) failed.push_back(outcome.index());
  EXPECT_EQ(failed, (std::vector<std::uint64_t>{1, 3, 5}));
}

TEST_P(AnyExecutorOverEach, ends_a_task_whose_time_has_passed_without_running_it) {
  AnyExecutor any = made();
  EXPECT_THROW(any.with({.timeout = -1ns}).submit(square, 3).get(), retinue::TaskTimeout);
  auto results = any.with({.timeout = -1ns}).map(square, std::views::iota(0, 3));
  EXPECT_THROW(*results.begin(), retinue::TaskTimeout);
}

TEST_P(AnyExecutorOverEach, ends_a_task_past_its_timeout_where_its_executor_does) {
  AnyExecutor any = made();
  auto f = any.with({.timeout = 20ms}).submit([] { std::this_thread::sleep_for(100ms); });
  if (is_serial()) EXPECT_NO_THROW(f.get());
  else EXPECT_THROW(f.get(), retinue::TaskTimeout);
}

TEST_P(AnyExecutorOverEach, reads_its_inputs_lazily) {
  AnyExecutor any = made();
  int taken = 0;
  for (const int x : any.map(square, std::views::iota(0))) {
    ASSERT_EQ(x, square(taken));
    if (++taken == 50) break;
  }
  EXPECT_EQ(taken, 50);
}

TEST_P(AnyExecutorOverEach, gives_results_in_the_order_that_was_asked_for) {
  AnyExecutor any = made();
  EXPECT_EQ(any.map(slow_if_first, std::views::iota(0, 3)).collect(), (std::vector<int>{0, 1, 2}));
  if (is_serial()) return;  // the first is over before the second begins
  EXPECT_EQ(any.map_unordered(slow_if_first, std::views::iota(0, 3)).collect().back(), 0);
}

TEST_P(AnyExecutorOverEach, is_closed_when_the_executor_inside_is) {
  AnyExecutor any = made();
  if (auto* const pool = any.get_if<ProcessPool>()) pool->shutdown();
  if (auto* const pool = any.get_if<ThreadPool>()) pool->shutdown();
  if (is_serial()) EXPECT_EQ(any.submit(square, 1).get(), 1);
  else EXPECT_THROW(any.submit(square, 1), retinue::PoolClosed);
}

TEST(AnyExecutor, tells_what_it_holds) {
  ThreadPool threads(1);
  const AnyExecutor any(threads);
  EXPECT_EQ(any.get_if<ThreadPool>(), &threads);
  EXPECT_EQ(any.get_if<ProcessPool>(), nullptr);
  EXPECT_EQ(any.get_if<SerialExecutor>(), nullptr);
}

TEST(AnyExecutor, cancels_what_has_not_started) {
  ThreadPool threads(1);
  AnyExecutor any(threads);
  std::atomic<bool> go{false}, running{false};
  auto busy = threads.submit([&] {
    running = true;
    while (!go) std::this_thread::yield();
  });
  while (!running) std::this_thread::yield();
  auto waiting = any.submit(square, 3);
  EXPECT_TRUE(waiting.cancel());
  go = true;
  busy.wait();
  EXPECT_THROW(waiting.get(), retinue::Cancelled);
}

TEST(AnyExecutor, stops_a_running_process_task_by_force) {
  ProcessPool pool(1);
  AnyExecutor any(pool);
  auto f = any.submit(spin_for_ever);
  ASSERT_TRUE(eventually([&] { return f.completion()->running(); }));
  EXPECT_FALSE(f.cancel());
  EXPECT_TRUE(f.cancel(true));
  EXPECT_THROW(f.get(), retinue::Cancelled);
  EXPECT_EQ(any.submit(square, 4).get(), 16);
}

TEST(AnyExecutor, costs_a_crashed_task_only_itself) {
  AnyExecutor any{ProcessPool(1)};
  EXPECT_THROW(any.submit(leave_with, 3).get(), retinue::WorkerDied);
  EXPECT_EQ(any.submit(square, 4).get(), 16);
}

TEST(AnyExecutor, leaves_a_named_executor_to_its_owner) {
  ThreadPool threads(1);
  {
    const AnyExecutor any(threads);
  }
  EXPECT_EQ(threads.submit(square, 3).get(), 9);
}

TEST(AnyExecutor, ends_a_pool_that_was_moved_in_with_its_last_copy) {
  retinue::Future<int> f;
  pid_t worker = 0;
  {
    AnyExecutor kept = SerialExecutor();
    {
      const AnyExecutor any{ProcessPool(1)};
      worker = any.get_if<ProcessPool>()->worker_pids().at(0);
      kept = any;
    }
    EXPECT_TRUE(is_alive(worker));
    f = kept.submit(square, 5);
  }
  EXPECT_FALSE(is_alive(worker));
  EXPECT_EQ(f.get(), 25) << "the pool finished what was submitted";
}

TEST(AnyExecutor, shares_a_pool_that_is_shared) {
  auto shared = std::make_shared<ThreadPool>(1);
  const std::weak_ptr<ThreadPool> seen = shared;
  AnyExecutor any(std::move(shared));
  EXPECT_EQ(any.submit(square, 3).get(), 9);
  any = SerialExecutor();
  EXPECT_TRUE(seen.expired());
}

TEST(AnyExecutor, mixes_futures_of_several_executors) {
  std::vector<AnyExecutor> all{ProcessPool(1), ThreadPool(1), SerialExecutor()};
  std::vector<retinue::Future<int>> futures;
  for (auto& any : all)
    for (int x = 0; x < 3; ++x) futures.push_back(any.submit(square, x));
  int sum = 0;
  for (const auto& f : retinue::as_completed(futures)) sum += f.get();
  EXPECT_EQ(sum, 15);
}

}  // namespace any_executor_test
