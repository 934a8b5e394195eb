// What maps promise, whichever executor runs them: here threads and the calling thread.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include <retinue/serial_executor.hpp>
#include <retinue/thread_pool.hpp>

namespace map_range_test {

using namespace std::chrono_literals;

int square(int x) { return x * x; }

struct Threads : retinue::ThreadPool {
  Threads() : ThreadPool(3) {}
};

template <class E>
class MapRange : public testing::Test {
 public:
  E executor;
};
using Executors = testing::Types<Threads, retinue::SerialExecutor>;
TYPED_TEST_SUITE(MapRange, Executors);

TYPED_TEST(MapRange, gives_results_in_the_order_of_inputs) {
  for (const int n : {0, 1, 7, 5000, 100'000}) {
    int i = 0;
    for (int s : this->executor.map([](int x) { return x + 1; }, std::views::iota(0, n))) ASSERT_EQ(s, ++i);
    EXPECT_EQ(i, n);
  }
}

TYPED_TEST(MapRange, walks_several_inputs_together_up_to_the_shortest) {
  const auto sum = [](double scale, int a, int b) { return scale * (a + b); };
  auto rows =
      this->executor.map(std::bind_front(sum, 100.0), std::views::iota(0), std::vector{100, 101, 102}).collect();
  EXPECT_EQ(rows, (std::vector{10'000.0, 10'200.0, 10'400.0}));
}

TYPED_TEST(MapRange, reads_endless_inputs_only_as_results_are_taken) {
  std::atomic<int> read = 0;
  int taken = 0;
  auto endless = std::views::iota(0) | std::views::transform([&read](int i) {
                   ++read;
                   return i;
                 });
  for (int s : this->executor.with({.look_ahead = 5}).map(square, endless)) {
    EXPECT_EQ(s, taken * taken);
    EXPECT_LE(read, taken + 6);
    if (++taken == 100) break;
  }
}

TYPED_TEST(MapRange, a_failed_item_throws_where_it_is_used_and_the_rest_goes_on) {
  auto range =
      this->executor.map([](int x) { return x == 3 ? throw std::out_of_range("three") : x; }, std::views::iota(0, 6));
  int good = 0, bad = 0;
  for (auto it = range.begin(); it != range.end(); ++it) {
    try {
      good += *it;
    } catch (const std::out_of_range&) {
      ++bad;
    }
  }
  EXPECT_EQ(good, 0 + 1 + 2 + 4 + 5);
  EXPECT_EQ(bad, 1);
}

TYPED_TEST(MapRange, outcomes_report_each_items_end_and_place) {
  const auto odd = [](int x) { return x % 2 == 0 ? throw std::runtime_error("even") : std::to_string(x); };
  std::uint64_t i = 0;
  for (auto& outcome : this->executor.map(odd, std::views::iota(0, 100)).outcomes()) {
    EXPECT_EQ(outcome.index(), i);
    EXPECT_EQ(outcome.ok(), i % 2 == 1);
    if (outcome) {
      EXPECT_EQ(outcome.value(), std::to_string(i));
    }
    ++i;
  }
  EXPECT_EQ(i, 100U);
}

TYPED_TEST(MapRange, unordered_gives_every_item_once) {
  std::set<std::uint64_t> places;
  std::multiset<int> values;
  for (auto& outcome : this->executor.map_unordered(square, std::views::iota(0, 20'000)).outcomes()) {
    places.insert(outcome.index());
    EXPECT_EQ(static_cast<std::uint64_t>(outcome.value()),
              static_cast<std::uint64_t>(static_cast<int>(outcome.index() * outcome.index())));
    values.insert(outcome.value());
  }
  EXPECT_EQ(places.size(), 20'000U);
  EXPECT_EQ(values.size(), 20'000U);
}

TYPED_TEST(MapRange, owns_temporary_inputs_and_functions) {
  auto range = [this] {
    auto captured = std::make_shared<int>(5);
    return this->executor.map([captured](const std::string& s) { return s + std::to_string(*captured); },
                              std::vector<std::string>{"a", "b", "c"});
  }();
  EXPECT_EQ(range.collect(), (std::vector<std::string>{"a5", "b5", "c5"}));
}

TYPED_TEST(MapRange, takes_move_only_elements_out_of_inputs_it_owns) {
  std::vector<std::unique_ptr<int>> inputs;
  for (int i = 0; i < 10; ++i) inputs.push_back(std::make_unique<int>(i));
  auto out = this->executor
                 .map(
                     [](std::unique_ptr<int> p) {
                       *p += 1;
                       return p;
                     },
                     std::move(inputs))
                 .collect();
  ASSERT_EQ(out.size(), 10U);
  EXPECT_EQ(*out[9], 10);
}

TYPED_TEST(MapRange, leaves_named_inputs_as_they_are_and_takes_proxies_lists_and_references) {
  std::vector<std::string> words{"many", "hands"};
  auto sizes = this->executor.map([](std::string s) { return s.size(); }, words).collect();
  EXPECT_EQ(words, (std::vector<std::string>{"many", "hands"}));
  EXPECT_EQ(sizes, (std::vector<std::size_t>{4, 5}));
  const std::vector<bool> bits{true, false, true};
  EXPECT_EQ(this->executor.map([](bool b) { return b ? 1 : 0; }, bits).collect(), (std::vector{1, 0, 1}));
  EXPECT_EQ(this->executor.map([](int& x) { return ++x; }, std::list<int>{1, 2}).collect(), (std::vector{2, 3}));
}

TYPED_TEST(MapRange, void_functions_give_monostate_and_for_each_waits_for_all) {
  std::atomic<int> sum = 0;
  const std::vector<std::monostate> all =
      this->executor.map([&sum](int x) { sum += x; }, std::views::iota(0, 10)).collect();
  EXPECT_EQ(all.size(), 10U);
  this->executor.for_each([&sum](int x) { sum += x; }, std::views::iota(0, 10));
  EXPECT_EQ(sum, 90);
  EXPECT_THROW(this->executor.for_each(
                   [](int x) {
                     if (x == 5) throw std::domain_error("five");
                   },
                   std::views::iota(0, 10)),
               std::domain_error);
}

TYPED_TEST(MapRange, a_mutable_function_starts_afresh_with_each_item) {
  EXPECT_EQ(this->executor.map([n = 0](int x) mutable { return ++n * x; }, std::vector{1, 2, 3}).collect(),
            (std::vector{1, 2, 3}));
}

TYPED_TEST(MapRange, what_reading_an_input_throws_comes_after_the_results_before_it) {
  auto inputs = std::views::iota(0, 10) |
                std::views::transform([](int i) { return i == 3 ? throw std::length_error("read") : i; });
  std::vector<int> got;
  EXPECT_THROW(for (int s : this->executor.map(square, inputs)) got.push_back(s), std::length_error);
  EXPECT_EQ(got, (std::vector{0, 1, 4}));
}

TYPED_TEST(MapRange, goes_on_where_an_earlier_loop_left_off) {
  auto range = this->executor.map(square, std::views::iota(0, 10));
  for (int s : range)
    if (s == 4) break;
  int rest = 0;
  for (int s : range) rest += s;
  EXPECT_EQ(rest, 4 + 9 + 16 + 25 + 36 + 49 + 64 + 81);
}

TEST(MapOfThreads, left_early_cancels_what_has_not_started_and_owns_what_runs) {
  retinue::ThreadPool pool(2);
  auto held = std::make_shared<std::atomic<int>>(0);
  std::weak_ptr<std::atomic<int>> watch = held;
  {
    auto range = pool.map_unordered(
        [held = std::move(held)](int i) {
          std::this_thread::sleep_for(1ms);
          return ++*held + i;
        },
        std::views::iota(0));
    (void)*range.begin();
  }
  for (int i = 0; i < 5000 && !watch.expired(); ++i) std::this_thread::sleep_for(1ms);
  EXPECT_TRUE(watch.expired());
}

TEST(MapOfThreads, delivers_an_early_result_while_a_slow_one_holds_up_another_thread) {
  retinue::ThreadPool pool(2);
  std::atomic<bool> open = false;
  std::uint64_t first = 99;
  for (auto& outcome : pool.map_unordered(
                               [&](int i) {
                                 for (int n = 0; i == 0 && !open && n < 20'000; ++n) std::this_thread::sleep_for(1ms);
                                 return i;
                               },
                               std::views::iota(0, 100))
                           .outcomes()) {
    if (first == 99) first = outcome.index();
    if (outcome.index() == 50) open = true;
  }
  EXPECT_NE(first, 0U);
}

TEST(MapOfThreads, ends_items_past_their_timeout_and_goes_on) {
  retinue::ThreadPool pool(2);
  for (const bool ordered : {true, false}) {
    auto open = std::make_shared<std::atomic<bool>>(false);
    const auto f = [open](int i) {
      for (int n = 0; i == 3 && !*open && n < 20'000; ++n) std::this_thread::sleep_for(1ms);
      return i;
    };
    auto timed = pool.with({.timeout = 100ms});
    auto range = ordered ? timed.map(f, std::views::iota(0, 20)) : timed.map_unordered(f, std::views::iota(0, 20));
    int good = 0;
    for (auto& outcome : range.outcomes()) {
      if (outcome) {
        ++good;
        continue;
      }
      EXPECT_EQ(outcome.index(), 3U);
      EXPECT_THROW(outcome.value(), retinue::TaskTimeout);
    }
    EXPECT_EQ(good, 19);
    *open = true;
  }
}

TEST(MapOfThreads, many_maps_share_a_pool) {
  retinue::ThreadPool pool(2);
  std::vector<std::jthread> consumers;
  for (int t = 0; t < 4; ++t) {
    consumers.emplace_back([&pool] {
      for (int round = 0; round < 5; ++round) {
        int i = 0;
        for (int s : pool.map([](int x) { return x; }, std::views::iota(0, 3000))) ASSERT_EQ(s, i++);
        ASSERT_EQ(i, 3000);
      }
    });
  }
}

}  // namespace map_range_test
