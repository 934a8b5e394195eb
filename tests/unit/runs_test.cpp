// map_reduce and for_each over inputs that need not be read one by one, in threads and in the calling thread.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <retinue/serial_executor.hpp>
#include <retinue/thread_pool.hpp>

namespace runs_test {

using namespace std::chrono_literals;

struct Threads : retinue::ThreadPool {
  Threads() : ThreadPool(3) {}
};

template <class E>
class Runs : public testing::Test {
 public:
  E executor;
};
using Executors = testing::Types<Threads, retinue::SerialExecutor>;
TYPED_TEST_SUITE(Runs, Executors);

std::vector<int> numbers(int n) {
  std::vector<int> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// x -> a x + b, modulo 2^64: doing one after the other is associative, and the order matters.
struct Affine {
  std::uint64_t a, b;
  friend bool operator==(const Affine&, const Affine&) = default;
};
Affine then(Affine first, Affine second) { return {second.a * first.a, second.a * first.b + second.b}; }
Affine step(int i) { return {2 * static_cast<std::uint64_t>(i) + 1, static_cast<std::uint64_t>(i) * 7 + 3}; }

TYPED_TEST(Runs, are_folded_in_the_order_of_inputs_whatever_their_length) {
  const Affine init{5, 9};
  for (const int n : {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 31, 100, 30'000}) {
    Affine expected = init;
    for (int i = 0; i < n; ++i) expected = then(expected, step(i));
    const std::vector<int> all = numbers(n);
    EXPECT_EQ(this->executor.map_reduce(step, all, init, then), expected) << n;
    EXPECT_EQ(this->executor.map_reduce(step, std::views::iota(0, n), init, then), expected) << n;
    EXPECT_EQ(this->executor.map_reduce(step, std::deque<int>(all.begin(), all.end()), init, then), expected) << n;
  }
  std::string words = "start";
  for (int i = 0; i < 5000; ++i) words += ' ' + std::to_string(i);
  const auto word = [](int i) { return ' ' + std::to_string(i); };
  EXPECT_EQ(this->executor.map_reduce(word, numbers(5000), std::string("start")), words);
}

TEST(ThreadRuns, come_from_ranges_that_lie_in_memory) {
  retinue::ThreadPool pool(2);
  const auto same = [](int x) { return static_cast<long>(x); };
  std::vector<int> all = numbers(2000);
  const std::vector<int>& constant = all;
  const int plain[] = {5, 6, 7};
  EXPECT_EQ(pool.map_reduce(same, all, 0L), 1'999'000);
  EXPECT_EQ(pool.map_reduce(same, constant, 1L), 1'999'001);
  EXPECT_EQ(pool.map_reduce(same, std::vector<int>(all), 0L), 1'999'000);
  EXPECT_EQ(pool.map_reduce(same, std::span<const int>(all).first(10), 0L), 45);
  EXPECT_EQ(pool.map_reduce(same, plain, 0L), 18);
  EXPECT_EQ(pool.map_reduce(same, std::vector<int>(), 7L), 7);
  const bool bits[] = {true, false, true};
  EXPECT_EQ(pool.map_reduce([](bool b) { return b ? 1 : 0; }, bits, 0), 2);
}

TEST(ThreadRuns, count_numbers_of_every_width) {
  retinue::ThreadPool pool(2);
  const auto wide = [](auto x) { return static_cast<std::int64_t>(x); };
  using Small = std::int8_t;
  EXPECT_EQ(pool.map_reduce(wide, std::views::iota(Small{-128}, Small{127}), std::int64_t{0}), -255);
  constexpr int kLeast = std::numeric_limits<int>::min();
  EXPECT_EQ(pool.map_reduce(wide, std::views::iota(kLeast, kLeast + 2), std::int64_t{0}), 2 * std::int64_t{kLeast} + 1);
  EXPECT_EQ(pool.map_reduce(wide, std::views::iota(3, 3), std::int64_t{4}), 4);
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  const auto below = [](std::uint64_t x) { return kMost - x; };
  EXPECT_EQ(pool.map_reduce(below, std::views::iota(kMost - 1000, kMost), std::uint64_t{0}), 500'500U);
  std::atomic<std::int64_t> sum = 0;
  pool.for_each([&sum](long x) { sum += x; }, std::views::iota(-10L, 100'001L));
  EXPECT_EQ(sum, 5'000'050'000 - 55);
}

TYPED_TEST(Runs, give_for_each_every_element_once) {
  for (const int n : {0, 1, 2, 9, 1000, 200'000}) {
    const std::vector<int> all = numbers(n);
    std::vector<std::atomic<unsigned char>> times(all.size());
    this->executor.for_each([&times](int i) { ++times[static_cast<std::size_t>(i)]; }, all);
    EXPECT_TRUE(std::ranges::all_of(times, [](const auto& t) { return t == 1; })) << n;
  }
}

TYPED_TEST(Runs, leave_named_inputs_as_they_are) {
  std::vector<int> all = numbers(100);
  std::atomic<int> sum = 0;
  this->executor.for_each([&sum](int& x) { sum += ++x; }, all);
  EXPECT_EQ(sum, 5050);
  EXPECT_EQ(this->executor.map_reduce([](int& x) { return ++x; }, all, 0), 5050);
  EXPECT_EQ(all, numbers(100));
  const std::string text = "longer than what a string keeps within itself";
  std::vector<std::string> words(50, text);
  const auto eat = [](std::string&& s) { return std::string(std::move(s)).size(); };
  EXPECT_EQ(this->executor.map_reduce(eat, words, std::size_t{0}), 50 * text.size());
  this->executor.for_each([](auto&& s) { std::string(std::forward<decltype(s)>(s)).clear(); }, words);
  EXPECT_EQ(words, std::vector<std::string>(50, text));
}

TYPED_TEST(Runs, move_out_what_was_moved_in) {
  std::vector<std::unique_ptr<int>> pointers;
  for (int i = 0; i < 100; ++i) pointers.push_back(std::make_unique<int>(i));
  EXPECT_EQ(this->executor.map_reduce([](std::unique_ptr<int> p) { return *p; }, std::move(pointers), 0), 4950);
  pointers.clear();
  for (int i = 0; i < 100; ++i) pointers.push_back(std::make_unique<int>(i));
  std::atomic<int> sum = 0;
  this->executor.for_each([&sum](std::unique_ptr<int>& p) { sum += *p; }, std::move(pointers));
  EXPECT_EQ(sum, 4950);
}

struct Large {
  std::array<double, 64> values{};
};
struct Counted {
  static inline std::atomic<int> copies = 0;
  Counted() = default;
  Counted(const Counted& other) : value(other.value) { ++copies; }
  Counted& operator=(const Counted&) = default;
  int value = 1;
};

TYPED_TEST(Runs, are_read_where_they_are) {
  const std::vector<Large> all(100);
  const auto where = [](const Large& x) { return reinterpret_cast<std::uintptr_t>(&x); };
  const auto first = reinterpret_cast<std::uintptr_t>(all.data());
  EXPECT_EQ(this->executor.map_reduce(where, all, ~std::uintptr_t{0}, [](auto a, auto b) { return std::min(a, b); }),
            first);
  EXPECT_EQ(this->executor.map_reduce(where, all, std::uintptr_t{0}, [](auto a, auto b) { return std::max(a, b); }),
            first + 99 * sizeof(Large));

  const std::vector<Counted> counted(1000);
  Counted::copies = 0;
  EXPECT_EQ(this->executor.map_reduce([](const Counted& x) { return x.value; }, counted, 0), 1000);
  this->executor.for_each([](const Counted&) {}, counted);
  EXPECT_EQ(Counted::copies, 0) << "they are only looked at";
  EXPECT_EQ(this->executor.map_reduce([](Counted&& x) { return x.value; }, counted, 0), 1000);
  EXPECT_EQ(Counted::copies, 1000);
}

TYPED_TEST(Runs, end_with_the_first_failure_in_the_order_of_inputs) {
  const auto picky = [](int x) { return x >= 500 ? throw std::out_of_range(std::to_string(x)) : x; };
  const std::vector<int> all = numbers(100'000);
  try {
    this->executor.map_reduce(picky, all, 0L);
    FAIL() << "did not throw";
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "500");
  }
  std::vector<std::atomic<unsigned char>> times(all.size());
  EXPECT_THROW(this->executor.for_each(
                   [&](int i) {
                     ++times[static_cast<std::size_t>(i)];
                     picky(i);
                   },
                   all),
               std::out_of_range);
  EXPECT_TRUE(std::ranges::all_of(times, [](const auto& t) { return t <= 1; }));
}

TYPED_TEST(Runs, end_for_each_over_endless_inputs_by_an_exception) {
  const auto picky = [](int x) {
    if (x == 5000) throw std::out_of_range("no");
  };
  EXPECT_THROW(this->executor.for_each(picky, std::views::iota(0)), std::out_of_range);
}

TYPED_TEST(Runs, start_a_mutable_function_afresh_with_each_element) {
  EXPECT_EQ(this->executor.map_reduce([n = 0](int) mutable { return ++n; }, numbers(500), 0), 500);
  std::atomic<int> sum = 0;
  this->executor.for_each([&sum, n = 0](int) mutable { sum += ++n; }, numbers(500));
  EXPECT_EQ(sum, 500);
}

/// How many calls are under way.
class Running {
 public:
  explicit Running(std::atomic<int>& count) : count_(count) { ++count_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() { --count_; }

 private:
  std::atomic<int>& count_;
};

TEST(ThreadRuns, have_ended_when_a_failure_comes_out) {
  retinue::ThreadPool pool(3);
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> running = 0;
    // What is read must be there to the end, which a sanitizer sees.
    const auto all = std::make_unique<std::vector<Large>>(8);
    const auto slow = [&, first = all->data()](const Large& x) {
      const Running here(running);
      if (&x == first) {
        for (int i = 0; i < 5000 && running < 2; ++i) std::this_thread::sleep_for(1ms);
        throw std::domain_error("first");
      }
      std::this_thread::sleep_for(5ms);
      return x.values[0];
    };
    EXPECT_THROW(pool.map_reduce(slow, *all, 0.0), std::domain_error);
    EXPECT_EQ(running, 0);
    EXPECT_THROW(pool.for_each(slow, *all), std::domain_error);
    EXPECT_EQ(running, 0);
    std::atomic<int> folds = 0;
    const auto brittle = [&](double a, double) { return ++folds == 1 ? throw std::length_error("fold") : a; };
    EXPECT_THROW(pool.map_reduce(
                     [&](const Large& x) {
                       const Running here(running);
                       std::this_thread::sleep_for(2ms);
                       return x.values[0];
                     },
                     *all, 0.0, brittle),
                 std::length_error);
    EXPECT_EQ(running, 0);
  }
}

TEST(ThreadRuns, have_ended_when_the_pool_is_shut_down_meanwhile) {
  retinue::ThreadPool pool(2);
  std::atomic<int> running = 0, started = 0;
  const std::vector<Large> all(1000);
  std::thread closer([&] {
    while (started < 4) std::this_thread::sleep_for(1ms);
    pool.shutdown(true);
  });
  EXPECT_THROW(pool.map_reduce(
                   [&](const Large& x) {
                     const Running here(running);
                     ++started;
                     std::this_thread::sleep_for(2ms);
                     return x.values[0];
                   },
                   all, 0.0),
               retinue::PoolClosed);
  EXPECT_EQ(running, 0);
  closer.join();
  EXPECT_THROW(pool.map_reduce([](int x) { return x; }, numbers(3), 0), retinue::PoolClosed);
  EXPECT_THROW(pool.for_each([](int) {}, numbers(3)), retinue::PoolClosed);
}

TEST(ThreadRuns, go_on_with_copies_past_a_timeout) {
  struct State {
    std::atomic<bool> go_on = false;
    std::atomic<int> seen = 0, running = 0;
  };
  const auto state = std::make_shared<State>();  // tasks past their timeout may outlive the test
  const retinue::TaskOptions brief{.timeout = 10ms}, past{.timeout = -1ms};
  retinue::ThreadPool pool(2);
  auto all = std::make_unique<std::vector<Large>>(4);
  all->front().values[7] = 17;
  const auto late = [state](const Large& x) {
    const Running here(state->running);
    while (!state->go_on) std::this_thread::sleep_for(1ms);
    if (x.values[7] == 17) ++state->seen;
    return x.values[7];
  };
  EXPECT_THROW(pool.with(brief).map_reduce(late, *all, 0.0), retinue::TaskTimeout);
  EXPECT_THROW(pool.with(brief).for_each(late, *all), retinue::TaskTimeout);
  EXPECT_THROW(retinue::SerialExecutor().with(past).map_reduce(late, *all, 0.0), retinue::TaskTimeout);
  EXPECT_THROW(retinue::SerialExecutor().with(past).for_each(late, *all), retinue::TaskTimeout);
  all.reset();
  EXPECT_EQ(state->seen, 0);
  state->go_on = true;
  pool.shutdown();
  for (int i = 0; i < 10'000 && (state->seen == 0 || state->running != 0); ++i) std::this_thread::sleep_for(1ms);
  EXPECT_GE(state->seen, 1);
  EXPECT_EQ(state->running, 0);
}

TEST(ThreadRuns, may_be_started_by_a_task_of_the_same_pool) {
  retinue::ThreadPool pool(1);
  const std::vector<int> all = numbers(5000);
  const auto inside = [&](int) {
    std::atomic<long> sum = 0;
    pool.for_each([&sum](int x) { sum += x; }, all);
    EXPECT_THROW(pool.for_each([](int x) { x == 7 ? throw std::domain_error("seven") : void(); }, all),
                 std::domain_error);
    return sum + pool.map_reduce([](int x) { return static_cast<long>(x); }, all, 0L);
  };
  EXPECT_EQ(pool.submit(inside, 0).get(), 2 * 12'497'500L);
  EXPECT_EQ(pool.map_reduce(inside, std::vector<int>(3), 0L), 6 * 12'497'500L);
}

TEST(ThreadRuns, keep_slow_elements_of_for_each_apart) {
  using retinue::detail::RunLength;
  RunLength length(2, 2000);
  for (int i = 0; i < 20; ++i) length.took(length.next(1'000'000), 10 * length.next(1'000'000));
  EXPECT_GT(length.next(1'000'000), 1000U);
  length.took(100, 100 * 2001);
  EXPECT_EQ(length.next(1'000'000), 1U);
  length.took(1, 1999);
  EXPECT_GT(length.next(1'000'000), 1U);
}

TEST(ThreadRuns, are_not_divided_into_less_than_it_costs_to_hand_them_over) {
  using retinue::detail::RunLength;
  RunLength length(2);
  length.took(100'000, 50'000);
  EXPECT_EQ(length.next(600), 400U) << "200 ns";
  EXPECT_EQ(length.next(40), 40U);
  RunLength slow(2);
  slow.took(1, 1'000'000);
  EXPECT_EQ(slow.next(40), 1U);
}

TEST(ThreadRuns, run_one_at_a_time_with_a_look_ahead_of_one) {
  retinue::ThreadPool pool(3);
  std::atomic<int> running = 0, most = 0;
  const auto count = [&](int x) {
    const Running here(running);
    most = std::max(most.load(), running.load());
    return x;
  };
  const retinue::TaskOptions single{.look_ahead = 1};
  EXPECT_EQ(pool.with(single).map_reduce(count, numbers(3000), 0), 4'498'500);
  EXPECT_EQ(most, 1);
}

}  // namespace runs_test
