// Folding in workers over runs of inputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <retinue/process_pool.hpp>
#include <retinue/serial_executor.hpp>
#include <retinue/thread_pool.hpp>

namespace map_reduce_test {

using namespace std::chrono_literals;

int square(int x) { return x * x; }

TEST(MapReduce, sums_what_a_loop_sums) {
  retinue::ThreadPool pool(2);
  EXPECT_EQ(pool.map_reduce(square, std::views::iota(1, 1001), 0L, std::plus<>{}), 333'833'500);
  EXPECT_EQ(pool.map_reduce([](long x) { return x; }, std::views::iota(0L, 1'000'000L), 5L), 499'999'500'005L);
}

TEST(MapReduce, folds_in_processes_in_the_order_of_inputs) {
  retinue::ProcessPool pool(2);
  EXPECT_EQ(pool.map_reduce(square, std::views::iota(1, 1001), 0L), 333'833'500);
  const auto word = [](int i) { return ' ' + std::to_string(i); };
  std::string expected;
  for (int i = 0; i < 5000; ++i) expected += word(i);
  EXPECT_EQ(pool.map_reduce(word, std::views::iota(0, 5000), std::string()), expected);
  EXPECT_THROW(pool.map_reduce([](int x) { return x == 500 ? throw std::out_of_range("no") : x; },
                               std::views::iota(0, 5000), 0L),
               std::out_of_range);
}

TEST(MapReduce, gives_init_for_no_inputs_and_uses_it_once) {
  retinue::ThreadPool pool(2);
  EXPECT_EQ(pool.map_reduce(square, std::vector<int>{}, 42), 42);
  EXPECT_EQ(pool.map_reduce([](int) { return 1L; }, std::views::iota(0, 10'000), 5L, std::multiplies<>{}), 5L);
  EXPECT_EQ(pool.map_reduce([](int) { return 0; }, std::views::iota(0, 10'000), 7), 7);
}

TEST(MapReduce, keeps_the_order_of_inputs_for_a_combine_that_is_only_associative) {
  retinue::ThreadPool pool(3);
  std::string expected = "start";
  for (int i = 0; i < 20'000; ++i) expected += ' ' + std::to_string(i);
  const auto word = [](int i) { return ' ' + std::to_string(i); };
  EXPECT_EQ(pool.map_reduce(word, std::views::iota(0, 20'000), std::string("start")), expected);
}

TEST(MapReduce, takes_inputs_of_unknown_size_proxies_and_move_only_elements) {
  retinue::ThreadPool pool(2);
  std::istringstream text("1 2 3 4 5");
  EXPECT_EQ(pool.map_reduce(square, std::views::istream<int>(text), 0), 55);
  EXPECT_EQ(pool.map_reduce([](bool b) { return b ? 1 : 0; }, std::vector<bool>(1000, true), 0), 1000);
  std::list<std::unique_ptr<int>> pointers;
  for (int i = 0; i < 100; ++i) pointers.push_back(std::make_unique<int>(i));
  EXPECT_EQ(pool.map_reduce([](std::unique_ptr<int> p) { return *p; }, std::move(pointers), 0), 4950);
}

TEST(MapReduce, takes_results_that_have_no_default_and_only_move) {
  struct Box {
    explicit Box(int x) : value(std::make_unique<int>(x)) {}
    std::unique_ptr<int> value;
  };
  retinue::ThreadPool pool(2);
  const Box sum = pool.map_reduce([](int x) { return Box(x); }, std::views::iota(0, 1000), Box(0),
                                  [](Box a, Box b) {
                                    *a.value += *b.value;
                                    return a;
                                  });
  EXPECT_EQ(*sum.value, 499'500);
}

TEST(MapReduce, throws_the_first_failure_in_the_order_of_inputs) {
  retinue::ThreadPool pool(2);
  const auto picky = [](int x) { return x >= 500 ? throw std::out_of_range(std::to_string(x)) : x; };
  try {
    pool.map_reduce(picky, std::views::iota(0, 100'000), 0L);
    FAIL() << "did not throw";
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "500");
  }
}

TEST(MapReduce, runs_slow_inputs_one_by_one_and_tiny_ones_in_long_runs) {
  using retinue::detail::RunLength;
  RunLength slow(2);
  slow.took(1, 10'000'000);
  EXPECT_EQ(slow.next(1000), 1U);
  RunLength tiny(2);
  for (int i = 0; i < 10; ++i) {
    const std::size_t length = tiny.next(100'000'000);
    for (int same = 0; same < 8; ++same) tiny.took(length, 10 * length);
    EXPECT_LE(tiny.next(100'000'000), 4 * length);
  }
  EXPECT_GT(tiny.next(100'000'000), 10'000U);
  EXPECT_EQ(tiny.next(100), 25U) << "the tail is spread over the workers";
  EXPECT_EQ(tiny.next(1), 1U);
  tiny.took(15'000, 15'000'000);
  EXPECT_LT(tiny.next(100'000'000), 4'000U) << "and it shrinks where inputs become slow";
}

TEST(MapReduce, spreads_slow_inputs_over_all_workers) {
  retinue::ThreadPool pool(4);
  std::mutex mutex;
  std::vector<std::thread::id> threads;
  pool.map_reduce(
      [&](int) {
        std::this_thread::sleep_for(2ms);
        const std::lock_guard lock(mutex);
        threads.push_back(std::this_thread::get_id());
        return 0;
      },
      std::views::iota(0, 64), 0);
  std::ranges::sort(threads);
  EXPECT_GE(std::ranges::unique(threads).begin() - threads.begin(), 2);
}

}  // namespace map_reduce_test
