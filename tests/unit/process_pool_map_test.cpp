// Maps over a pool: order, laziness, inputs of every kind.
#include "support/process_watch.hpp"

#include <algorithm>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <ranges>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <retinue/process_pool.hpp>

namespace process_pool_map_test {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;

int square(int x) { return x * x; }
int add(int a, int b) { return a + b; }
double scaled_sum(double scale, int a, int b) { return scale * (a + b); }
int slow_square(int x) {
  nap(std::chrono::microseconds(x % 7 * 300));
  return x * x;
}
template <class Range>
std::vector<int> in_order(Range&& results) {
  std::vector<int> all;
  for (int y : results) all.push_back(y);
  return all;
}
std::vector<int> squares(int n) {
  std::vector<int> all;
  for (int i = 0; i < n; ++i) all.push_back(i * i);
  return all;
}
/// An endless input that counts how far it was read.
auto counted(std::atomic<int>& read) {
  return std::views::iota(0) | std::views::transform([&read](int i) {
           read.store(i + 1);
           return i;
         });
}

TEST(ProcessPoolMap, results_come_in_the_order_of_the_inputs) {
  ProcessPool pool(2);
  EXPECT_EQ(in_order(pool.map(square, std::views::iota(0, 10'000))), squares(10'000));
  EXPECT_EQ(in_order(pool.map(slow_square, std::views::iota(0, 300))), squares(300));
  EXPECT_EQ(pool.map(square, std::vector{3, 1, 2}).collect(), (std::vector{9, 1, 4}));
}

TEST(ProcessPoolMap, an_unordered_map_gives_each_result_once) {
  ProcessPool pool(2);
  auto all = in_order(pool.map_unordered(slow_square, std::views::iota(0, 2000 / kSlowdown)));
  std::ranges::sort(all);
  EXPECT_EQ(all, squares(2000 / kSlowdown));
}

TEST(ProcessPoolMap, an_unordered_map_does_not_wait_for_the_slow_one) {
  ProcessPool pool(2);
  int taken = 0;
  bool gate_seen = false;
  for (auto& outcome : pool.map_unordered(
                               [](int x) {
                                 if (x == 0) board().pass_gate();
                                 return x;
                               },
                               std::views::iota(0, 500))
                           .outcomes()) {
    if (outcome.index() == 0) gate_seen = true;
    if (++taken == 499) {
      EXPECT_FALSE(gate_seen) << "all others came first";
      board().gate.store(1);
    }
  }
  EXPECT_EQ(taken, 500);
  EXPECT_TRUE(gate_seen);
}

TEST(ProcessPoolMap, outcomes_of_an_unordered_map_know_their_index) {
  ProcessPool pool(2);
  std::vector<bool> seen(1000);
  for (auto& outcome : pool.map_unordered(square, std::views::iota(0, 1000)).outcomes()) {
    const auto i = outcome.index();
    ASSERT_LT(i, 1000u);
    EXPECT_FALSE(seen[i]);
    seen[i] = true;
    EXPECT_EQ(outcome.value(), static_cast<int>(i * i));
  }
  EXPECT_TRUE(std::ranges::all_of(seen, std::identity{}));
}

TEST(ProcessPoolMap, empty_inputs_give_nothing) {
  ProcessPool pool(2);
  EXPECT_TRUE(pool.map(square, std::vector<int>{}).collect().empty());
  EXPECT_TRUE(pool.map_unordered(square, std::views::empty<int>).collect().empty());
  EXPECT_TRUE(pool.map(add, std::vector{1, 2}, std::vector<int>{}).collect().empty());
  EXPECT_TRUE(pool.map(square, std::vector<int>{}).outcomes().collect().empty());
  pool.for_each(square, std::vector<int>{});
  EXPECT_EQ(pool.stats().submitted, 0u);
}

TEST(ProcessPoolMap, several_inputs_are_walked_together_up_to_the_shortest) {
  ProcessPool pool(2);
  EXPECT_EQ(pool.map(add, std::views::iota(0), std::vector{10, 20, 30}).collect(), (std::vector{10, 21, 32}));
  const auto rows =
      pool.map(std::bind_front(scaled_sum, 100.0), std::views::iota(0, 20), std::views::iota(100, 120)).collect();
  ASSERT_EQ(rows.size(), 20u);
  EXPECT_EQ(rows[3], 100.0 * (3 + 103));
  auto three = pool.map([](int a, const std::string& s, char c) { return std::to_string(a) + s + c; },
                        std::vector{1, 2}, std::vector<std::string>{"a", "b", "c"}, std::string("xyz"))
                   .collect();
  EXPECT_EQ(three, (std::vector<std::string>{"1ax", "2by"}));
}

TEST(ProcessPoolMap, inputs_may_be_any_input_range) {
  ProcessPool pool(2);
  const std::list<int> listed{1, 2, 3};
  EXPECT_EQ(pool.map(square, listed).collect(), (std::vector{1, 4, 9}));
  std::vector<int> named{4, 5};
  EXPECT_EQ(pool.map(square, named).collect(), (std::vector{16, 25}));
  EXPECT_EQ(named.size(), 2u);
  std::istringstream stream("6 7 8");
  EXPECT_EQ(pool.map(square, std::views::istream<int>(stream)).collect(), (std::vector{36, 49, 64}));
  int array[] = {9, 10};
  EXPECT_EQ(pool.map(square, array).collect(), (std::vector{81, 100}));
  EXPECT_EQ(pool.map(square, std::forward_list<int>{1, 2}).collect(), (std::vector{1, 4}));
  std::map<std::string, int> pairs{{"a", 1}, {"b", 2}};
  EXPECT_EQ(pool.map([](const std::pair<const std::string, int>& p) { return p.second; }, pairs).collect(),
            (std::vector{1, 2}));
  const std::vector<bool> bits{true, false, true};
  EXPECT_EQ(pool.map([](bool b) { return b ? 1 : 0; }, bits).collect(), (std::vector{1, 0, 1}));
  EXPECT_EQ(pool.map(square, std::vector{1, 2, 3, 4} | std::views::filter([](int x) { return x % 2 == 0; })).collect(),
            (std::vector{4, 16}));
}

TEST(ProcessPoolMap, move_only_elements_and_results_travel) {
  ProcessPool pool(2);
  std::vector<std::unique_ptr<int>> owned;
  for (int i = 0; i < 100; ++i) owned.push_back(std::make_unique<int>(i));
  int expected = 0;
  for (auto& p : pool.map([](const std::unique_ptr<int>& q) { return std::make_unique<int>(*q + 1); }, owned)) {
    ASSERT_EQ(*p, ++expected);
    const std::unique_ptr<int> mine = std::move(p);
    ASSERT_TRUE(mine);
  }
  EXPECT_EQ(expected, 100);
}

TEST(ProcessPoolMap, an_endless_input_is_read_only_as_far_ahead_as_there_are_slots) {
  ProcessPool pool(2);
  std::atomic<int> read{0};
  int taken = 0;
  for (int y : pool.map(square, counted(read))) {
    ASSERT_EQ(y, taken * taken);
    ++taken;
    ASSERT_LE(read.load() - taken, 65'536);
    if (taken == 20'000) break;
  }
  EXPECT_EQ(taken, 20'000);
}

TEST(ProcessPoolMap, a_slow_consumer_stops_the_reading_of_inputs) {
  ProcessPool pool(2);
  std::atomic<int> read{0};
  auto results = pool.map(square, counted(read));
  auto it = results.begin();
  const int after_one = read.load();
  nap(200ms);
  EXPECT_EQ(read.load(), after_one) << "nothing is read while nothing is taken";
  for (int i = 0; i < 10; ++i) ++it;
  EXPECT_LE(read.load() - 11, 65'536);
}

TEST(ProcessPoolMap, slow_tasks_are_not_read_far_ahead) {
  ProcessPool pool(2);
  std::atomic<int> read{0};
  int taken = 0;
  for (int y : pool.map(
           [](int x) {
             nap(20ms);
             return x;
           },
           counted(read))) {
    ASSERT_EQ(y, taken++);
    ASSERT_LE(read.load() - taken, 64) << "a few times the workers, not hundreds";
    if (taken == 20) break;
  }
}

TEST(ProcessPoolMap, look_ahead_is_honoured) {
  ProcessPool pool(2);
  for (const std::size_t ahead : {1u, 2u, 3u, 7u, 100u}) {
    std::atomic<int> read{0};
    int taken = 0;
    for (int y : pool.with({.look_ahead = ahead}).map(square, counted(read))) {
      ASSERT_EQ(y, taken * taken);
      ASSERT_LE(read.load() - taken, static_cast<int>(ahead));
      if (++taken == 500) break;
    }
    taken = 0;
    for ([[maybe_unused]] int y : pool.with({.look_ahead = ahead}).map_unordered(square, counted(read))) {
      ASSERT_LE(read.load() - taken, static_cast<int>(ahead));
      if (++taken == 500) break;
    }
  }
}

TEST(ProcessPoolMap, large_elements_are_not_read_far_ahead) {
  ProcessPool pool(2);
  std::atomic<int> read{0};
  auto big = counted(read) | std::views::transform([](int i) { return std::string(4'000'000, static_cast<char>(i)); });
  int taken = 0;
  for (auto size : pool.map([](std::string_view s) { return s.size(); }, big)) {
    ASSERT_EQ(size, 4'000'000u);
    ASSERT_LE(read.load() - taken, 64);
    if (++taken == 40) break;
  }
}

TEST(ProcessPoolMap, a_statement_may_leave_only_the_map_behind) {
  ProcessPool pool(2);
  int expected = 0;
  for (int y : pool.with({.timeout = 60s, .retries = 1}).map([k = 3](int x) { return k * x; }, std::vector{0, 1, 2, 3}))
    EXPECT_EQ(y, 3 * expected++);
  EXPECT_EQ(expected, 4);
  for (auto& outcome : pool.with({.retries = 1}).map(square, std::views::iota(4, 6)).outcomes())
    EXPECT_TRUE(outcome.ok());
}

TEST(ProcessPoolMap, void_functions_are_mapped_for_their_effects) {
  ProcessPool pool(2);
  auto count = [](int i) { board().runs[i].fetch_add(1); };
  int items = 0;
  for ([[maybe_unused]] auto& done : pool.map(count, std::views::iota(0, 1000))) ++items;
  EXPECT_EQ(items, 1000);
  pool.for_each(count, std::views::iota(0, 1000));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(board().runs[i].load(), 2);
}

TEST(ProcessPoolMap, two_maps_interleave) {
  ProcessPool pool(2);
  auto a = pool.map(square, std::views::iota(0)), b = pool.map_unordered(slow_square, std::views::iota(0));
  auto i = a.begin();
  auto j = b.begin();
  for (int k = 0; k < 2000 / kSlowdown; ++k, ++i) {
    ASSERT_EQ(*i, k * k);
    if (k % 10 == 0) ++j;
  }
}

TEST(ProcessPoolMap, a_map_of_a_map_works) {
  ProcessPool pool(2);
  auto inner = pool.map(square, std::views::iota(0, 3000));
  auto outer = pool.map([](int x) { return x + 1; }, inner);
  int k = 0;
  for (int y : outer) {
    ASSERT_EQ(y, k * k + 1);
    ++k;
  }
  EXPECT_EQ(k, 3000);
}

TEST(ProcessPoolMap, submitting_inside_the_loop_works) {
  ProcessPool pool(2);
  int k = 0;
  for (int y : pool.map(square, std::views::iota(0, 2000 / kSlowdown))) {
    ASSERT_EQ(y, k * k);
    ASSERT_EQ(pool.submit(add, k, 1).get(), k + 1);
    ++k;
  }
  EXPECT_EQ(k, 2000 / kSlowdown);
}

TEST(ProcessPoolMap, small_rings_carry_long_maps) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.slot_count = 1;
  ProcessPool pool(options);
  EXPECT_EQ(in_order(pool.map(square, std::views::iota(0, 20'000 / kSlowdown))), squares(20'000 / kSlowdown));
  auto all = in_order(pool.with({.look_ahead = 1000}).map_unordered(square, std::views::iota(0, 20'000 / kSlowdown)));
  std::ranges::sort(all);
  EXPECT_EQ(all, squares(20'000 / kSlowdown));
}

TEST(ProcessPoolMap, a_slow_task_in_a_small_ring_holds_only_its_slot) {
  ProcessPoolOptions options;
  options.workers = 3;
  options.slot_count = 64;
  ProcessPool pool(options);
  // Each hundredth task waits until three thousand others have run.
  auto task = [](int x) {
    board().counters[2].fetch_add(1);
    while (x % 2000 == 7 && board().counters[2].load() < x + 1500) nap();
    return x;
  };
  std::vector<retinue::Future<int>> futures;
  for (int i = 0; i < 10'000; ++i) futures.push_back(pool.submit(task, i));
  for (int i = 9'999; i >= 0; --i) ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), i);
}

TEST(ProcessPoolMap, payloads_of_changing_size_keep_to_their_items) {
  ProcessPool pool(2);
  auto text = [](std::size_t n) { return std::string(n, static_cast<char>('a' + n % 26)); };
  const auto sizes = std::views::iota(0, 3000 / kSlowdown) | std::views::transform([](int i) {
                       const auto u = static_cast<std::size_t>(i);
                       return i % 50 == 0 ? u * 40 : u % 10 == 0 ? 200 + u % 60 : u % 30;
                     });
  std::size_t k = 0;
  for (auto& s : pool.map([](const std::string& in) { return in + "!"; }, sizes | std::views::transform(text))) {
    ASSERT_EQ(s, text(sizes[static_cast<std::ptrdiff_t>(k)]) + "!");
    ++k;
  }
  EXPECT_EQ(k, static_cast<std::size_t>(3000 / kSlowdown));
  EXPECT_TRUE(eventually([&] { return pool.stats().bytes_in_use == 0; }));
}

TEST(ProcessPoolMap, a_consumer_that_sleeps_finds_everything_afterwards) {
  ProcessPool pool(2);
  auto results = pool.map(square, std::views::iota(0, 3000));
  int k = 0;
  for (int y : results) {
    if (k % 600 == 0) nap(50ms);
    ASSERT_EQ(y, k * k);
    ++k;
  }
  EXPECT_EQ(k, 3000);
}

}  // namespace process_pool_map_test
