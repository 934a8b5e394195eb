// The executor without workers.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <thread>
#include <vector>

#include <retinue/serial_executor.hpp>

namespace serial_executor_test {

static_assert(retinue::Executor<retinue::SerialExecutor>);

int square(int x) { return x * x; }

TEST(SerialExecutor, runs_a_task_in_this_thread_before_submit_returns) {
  retinue::SerialExecutor serial;
  EXPECT_EQ(serial.workers(), 1U);
  std::thread::id where;
  auto f = serial.submit([&where] {
    where = std::this_thread::get_id();
    return 5;
  });
  EXPECT_EQ(where, std::this_thread::get_id());
  EXPECT_TRUE(f.done());
  EXPECT_EQ(f.get(), 5);
  EXPECT_EQ(f.get(), 5);
  EXPECT_FALSE(f.cancel());
}

TEST(SerialExecutor, keeps_what_a_task_throws_for_its_future) {
  retinue::SerialExecutor serial;
  auto f = serial.submit([](int) -> int { throw std::domain_error("no"); }, 1);
  EXPECT_THROW(f.get(), std::domain_error);
  bool called = false;
  f.on_done([&called](retinue::Future<int>& again) { called = again.done(); });
  EXPECT_TRUE(called);
}

TEST(SerialExecutor, moves_what_can_only_be_moved) {
  retinue::SerialExecutor serial;
  auto f = serial.submit([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(3));
  EXPECT_EQ(*f.get(), 3);
  EXPECT_THROW(f.get(), retinue::Error);
}

TEST(SerialExecutor, runs_an_item_of_a_map_only_when_it_is_asked_for) {
  retinue::SerialExecutor serial;
  int ran = 0, taken = 0;
  for (int s : serial.map(
           [&ran](int x) {
             ++ran;
             return x;
           },
           std::views::iota(0))) {
    EXPECT_EQ(s, taken);
    EXPECT_EQ(ran, ++taken);
    if (taken == 5) break;
  }
  EXPECT_EQ(ran, 5);
}

TEST(SerialExecutor, folds) {
  retinue::SerialExecutor serial;
  EXPECT_EQ(serial.map_reduce(square, std::views::iota(1, 1001), 0L), 333'833'500);
}

}  // namespace serial_executor_test
