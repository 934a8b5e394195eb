// map_reduce and for_each in processes over inputs that lie in memory: copied once, or read where they are.
#include "support/process_watch.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <memory>
#include <numeric>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <retinue/any_executor.hpp>
#include <retinue/shared_memory.hpp>

namespace process_runs_test {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::SharedArray;
using retinue::SharedSpan;

struct Large {
  std::array<double, 64> values{};
};

/// Where the element with the lowest address was read.
std::uintptr_t where(const Large& x) { return reinterpret_cast<std::uintptr_t>(&x); }
std::uintptr_t lower(std::uintptr_t a, std::uintptr_t b) { return std::min(a, b); }
std::uintptr_t place_of(const Large* x) { return reinterpret_cast<std::uintptr_t>(x); }
constexpr std::uintptr_t kHighest = ~std::uintptr_t{0};

long widened(int x) { return x; }

TEST(ProcessRuns, read_a_shared_array_where_it_is) {
  ProcessPool pool(2);
  SharedArray<Large> array(500);
  const auto& constant = array;
  EXPECT_EQ(pool.map_reduce(where, array, kHighest, lower), place_of(array.data()));
  EXPECT_EQ(pool.map_reduce(where, constant, kHighest, lower), place_of(array.data()));
  EXPECT_EQ(pool.map_reduce(where, array.span().subspan(3), kHighest, lower), place_of(array.data() + 3));
  EXPECT_EQ(pool.map_reduce(where, std::span<const Large>(constant.span()), kHighest, lower), place_of(array.data()));
  retinue::AnyExecutor any(pool);
  EXPECT_EQ(any.map_reduce(where, array, kHighest, lower), place_of(array.data()));
  // What nobody but this process sees is copied, also if it calls itself shared.
  std::vector<Large> own(500);
  EXPECT_NE(pool.map_reduce(where, own, kHighest, lower), place_of(own.data()));
  EXPECT_NE(pool.map_reduce(where, SharedSpan<Large>(own.data(), own.size()), kHighest, lower), place_of(own.data()));
}

TEST(ProcessRuns, need_no_memory_for_what_is_in_a_shared_array) {
  ProcessPool pool(2);
  std::vector<int> numbers(2'000'000 / kSlowdown);
  std::iota(numbers.begin(), numbers.end(), 0);
  const long sum = std::accumulate(numbers.begin(), numbers.end(), 0L);
  const SharedArray<int> array(numbers);
  const auto before = retinue::shared_memory_usage().bytes_peak;
  EXPECT_EQ(pool.map_reduce(widened, array, 0L), sum);
  EXPECT_EQ(pool.map_reduce(widened, array, 0L), sum);
  EXPECT_EQ(retinue::shared_memory_usage().bytes_peak, before);
  EXPECT_EQ(pool.map_reduce(widened, numbers, 0L), sum);
}

TEST(ProcessRuns, see_what_was_written_before_the_call) {
  ProcessPool pool(2);
  SharedArray<int> array(10'000);
  for (int round = 1; round < 20; ++round) {
    std::ranges::fill(array, round);
    ASSERT_EQ(pool.map_reduce(widened, array, 0L), 10'000L * round);
  }
}

struct alignas(64) Aligned {
  int value;
};

TEST(ProcessRuns, carry_elements_of_every_kind) {
  ProcessPool pool(2);
  std::vector<std::string> words(3000, "word");
  words[1500] = std::string(10'000, 'x');
  const auto length = [](const std::string& s) { return s.size(); };
  EXPECT_EQ(pool.map_reduce(length, words, std::size_t{0}), 4 * 2999 + 10'000U);
  EXPECT_EQ(pool.map_reduce([](std::string s) { return s + ' '; }, std::vector<std::string>{"a", "b", "c"},
                            std::string("> ")),
            "> a b c ");
  const std::vector<std::pair<int, long>> pairs(1000, {2, 3});
  EXPECT_EQ(pool.map_reduce([](std::pair<int, long> p) { return p.first * p.second; }, pairs, 0L), 6000);
  std::vector<std::unique_ptr<int>> pointers;
  for (int i = 0; i < 100; ++i) pointers.push_back(std::make_unique<int>(i));
  EXPECT_EQ(pool.map_reduce([](std::unique_ptr<int> p) { return *p; }, std::move(pointers), 0), 4950);
  const std::vector<Aligned> aligned(1000, {7});
  EXPECT_EQ(pool.map_reduce([](const Aligned& a) { return a.value; }, aligned, 0), 7000);
  EXPECT_EQ(pool.map_reduce([](bool b) { return b ? 1 : 0; }, std::vector<bool>(1000, true), 0), 1000);
  // In the owner nothing changes.
  std::vector<int> numbers(1000, 1);
  EXPECT_EQ(pool.map_reduce([](int& x) { return ++x; }, numbers, 0), 2000);
  EXPECT_EQ(numbers, std::vector<int>(1000, 1));
}

TEST(ProcessRuns, of_a_shared_array_have_ended_when_a_failure_comes_out) {
  ProcessPool pool(3);
  SharedArray<int> array(8);
  std::iota(array.begin(), array.end(), 0);
  const auto slow = [](int x) {
    auto& running = board().counters[0];
    running.fetch_add(1);
    if (x == 0) {
      for (int i = 0; i < 5000 && running.load() < 2; ++i) nap(1ms);
      running.fetch_sub(1);
      throw std::domain_error("first");
    }
    nap(20ms);
    running.fetch_sub(1);
    return x;
  };
  for (int round = 0; round < 5; ++round) {
    EXPECT_THROW(pool.map_reduce(slow, array, 0), std::domain_error);
    EXPECT_EQ(board().counters[0].load(), 0);
  }
  EXPECT_EQ(pool.map_reduce(widened, array, 0L), 28);
}

/// Of the owner: workers are forked before anything is in it.
struct Others {
  ProcessPool* pool = nullptr;
  int folds = 0;
  std::vector<retinue::Future<int>> futures;
};
Others others;

int fold_among_others(int a, int b) {
  if (others.pool == nullptr) return a + b;
  if (++others.folds == 2) throw std::domain_error("second");
  const auto until_told = [](int x) {
    for (int i = 0; i < 5000 && board().counters[1].load() == 0; ++i) nap(1ms);
    return x;
  };
  others.futures.push_back(others.pool->submit(until_told, 0));
  for (int i = 1; i < 300; ++i) others.futures.push_back(others.pool->submit([](int x) { return x; }, i));
  return a + b;
}

TEST(ProcessRuns, of_a_shared_array_that_wait_for_a_slot_are_cancelled) {
  retinue::ProcessPoolOptions options;
  options.workers = 1;
  options.slot_count = 64;
  ProcessPool pool(options);
  const SharedArray<int> array(1000);
  others.pool = &pool;
  EXPECT_THROW(pool.map_reduce([](int x) { return x; }, array, 0, fold_among_others), std::domain_error);
  EXPECT_GT(pool.stats().waiting, 0U);
  board().counters[1].store(1);
  // Their places in the queue are passed over when the map is long gone.
  for (int i = 0; auto& future : others.futures) EXPECT_EQ(future.get(), i++);
  others = {};
  EXPECT_EQ(pool.map_reduce(widened, array, 0L), 0);
}

TEST(ProcessRuns, of_a_shared_array_survive_deaths_with_retries) {
  const retinue::TaskOptions tenacious{.retries = 4};
  ProcessPool pool(2);
  SharedArray<int> array(2000);
  std::iota(array.begin(), array.end(), 0);
  const auto deadly = [](int x) {
    if (x % 500 == 499 && board().counters[x / 500].fetch_add(1) == 0) std::raise(SIGKILL);
    return static_cast<long>(x);
  };
  EXPECT_EQ(pool.with(tenacious).map_reduce(deadly, array, 0L), 1'999'000);
  for (int i = 0; i < 4; ++i) board().counters[i].store(0);
  EXPECT_THROW(pool.map_reduce(deadly, array, 0L), retinue::WorkerDied);
  EXPECT_EQ(pool.map_reduce(widened, array, 0L), 1'999'000);
}

TEST(ProcessRuns, of_a_shared_array_end_at_their_timeout) {
  ProcessPool pool(2);
  const retinue::TaskOptions brief{.timeout = 20ms};
  const SharedArray<int> array(4);
  const auto stuck = [](int x) {
    for (;;) nap(1ms);
    return x;
  };
  EXPECT_THROW(pool.with(brief).map_reduce(stuck, array, 0), retinue::TaskTimeout);
  EXPECT_EQ(pool.map_reduce(widened, array, 0L), 0);
}

TEST(ProcessRuns, are_of_one_element_in_for_each_so_that_a_death_costs_one) {
  const retinue::TaskOptions again{.retries = 1};
  ProcessPool pool(1);
  SharedArray<int> array(3000);
  std::iota(array.begin(), array.end(), 0);
  const auto deadly = [](int x) {
    if (x == 2000 && board().counters[0].fetch_add(1) == 0) std::raise(SIGKILL);
    board().runs[x].fetch_add(1);
  };
  EXPECT_THROW(pool.for_each(deadly, array), retinue::WorkerDied);
  for (int i = 0; i < 3000; ++i) ASSERT_LE(board().runs[i].load(), 1) << i;
  pool.submit([] {}).get();  // what ran when the map was left has ended
  board().clear();
  pool.with(again).for_each(deadly, array);
  for (int i = 0; i < 3000; ++i) ASSERT_EQ(board().runs[i].load(), 1) << i;
}

TEST(ProcessRuns, count_numbers_without_sending_them) {
  ProcessPool pool(2);
  const auto before = retinue::shared_memory_usage().bytes_peak;
  EXPECT_EQ(pool.map_reduce([](long x) { return x; }, std::views::iota(0L, 1'000'000L), 5L), 499'999'500'005L);
  EXPECT_EQ(retinue::shared_memory_usage().bytes_peak, before);
}

struct Item {
  int value = 3;
};
int value_of(const Item& item) { return item.value; }

TEST(ProcessRuns, are_the_same_for_an_executor_that_is_not_known) {
  const retinue::TaskOptions patient{.timeout = 10s};
  for (auto& any : std::array<retinue::AnyExecutor, 2>{retinue::ProcessPool(2), retinue::ThreadPool(2)}) {
    const std::vector<Item> items(500);
    EXPECT_EQ(any.map_reduce(value_of, items, 0), 1500);
    any.for_each(value_of, items);
    any.with(patient).for_each(value_of, items);
    EXPECT_EQ(any.with(patient).map_reduce(value_of, items, 0), 1500);
  }
}

}  // namespace process_runs_test
