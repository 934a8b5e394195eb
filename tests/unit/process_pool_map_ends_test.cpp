// Maps that fail, are left half way or outlive their pool.
#include "support/process_watch.hpp"

#include <optional>
#include <ranges>
#include <stdexcept>
#include <thread>
#include <vector>

#include <retinue/process_pool.hpp>

namespace process_pool_map_ends_test {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;

int square(int x) { return x * x; }
int slow_square(int x) {
  nap(std::chrono::microseconds(x % 7 * 300));
  return x * x;
}
int picky(int x) {
  if (x % 10 == 3) throw std::out_of_range("three");
  return x;
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

TEST(ProcessPoolMap, for_each_throws_the_first_failure_and_cancels_the_rest) {
  ProcessPool pool(1);
  EXPECT_THROW(pool.for_each(
                   [](int i) {
                     board().counters[0].fetch_add(1);
                     if (i == 5) throw std::runtime_error("five");
                     nap(1ms);
                   },
                   std::views::iota(0, 100'000)),
               std::runtime_error);
  EXPECT_LT(board().counters[0].load(), 99'000);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPoolMap, a_failed_item_throws_where_it_is_looked_at_and_the_map_goes_on) {
  ProcessPool pool(2);
  auto results = pool.map(picky, std::views::iota(0, 100));
  int good = 0, bad = 0, i = 0;
  for (auto it = results.begin(); it != results.end(); ++it, ++i) {
    try {
      EXPECT_EQ(*it, i);
      ++good;
    } catch (const std::out_of_range&) {
      EXPECT_EQ(i % 10, 3);
      ++bad;
    }
  }
  EXPECT_EQ(good, 90);
  EXPECT_EQ(bad, 10);
}

TEST(ProcessPoolMap, collect_throws_the_first_failure_in_order) {
  ProcessPool pool(2);
  EXPECT_THROW(pool.map(picky, std::views::iota(0, 100)).collect(), std::out_of_range);
  const auto outcomes = pool.map(picky, std::views::iota(0, 20)).outcomes().collect();
  ASSERT_EQ(outcomes.size(), 20u);
  for (std::size_t i = 0; i < 20; ++i) {
    EXPECT_EQ(outcomes[i].index(), i);
    EXPECT_EQ(outcomes[i].ok(), i % 10 != 3);
    EXPECT_EQ(outcomes[i].error() == nullptr, outcomes[i].ok());
  }
}

TEST(ProcessPoolMap, what_reading_an_input_throws_comes_after_the_results_before_it) {
  ProcessPool pool(2);
  auto failing = std::views::iota(0) | std::views::transform([](int i) {
                   if (i == 100) throw std::runtime_error("no more");
                   return i;
                 });
  for (const bool ordered : {true, false}) {
    int taken = 0;
    bool thrown = false;
    try {
      auto results = ordered ? pool.map(square, failing) : pool.map_unordered(square, failing);
      for ([[maybe_unused]] int y : results) ++taken;
    } catch (const std::runtime_error& e) {
      thrown = true;
      EXPECT_STREQ(e.what(), "no more");
    }
    EXPECT_TRUE(thrown);
    EXPECT_EQ(taken, 100);
  }
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPoolMap, an_input_that_throws_at_once_ends_the_map_at_once) {
  ProcessPool pool(2);
  std::vector two{1, 2};
  auto failing = two | std::views::transform([](int) -> int { throw std::runtime_error("none"); });
  EXPECT_THROW(pool.map(square, failing).collect(), std::runtime_error);
  auto results = pool.map(square, failing);
  EXPECT_THROW(results.begin(), std::runtime_error);
  int more = 0;
  for ([[maybe_unused]] int y : results) ++more;
  EXPECT_EQ(more, 0);
}

struct Stubborn {
  int number;
};

}  // namespace process_pool_map_ends_test

template <>
struct retinue::Codec<process_pool_map_ends_test::Stubborn> {
  template <class W>
  static void write(W& w, const process_pool_map_ends_test::Stubborn& s) {
    if (s.number == 5) throw std::domain_error("five does not travel");
    w(s.number);
  }
  static process_pool_map_ends_test::Stubborn read(Reader& r) { return {r.value<int>()}; }
};

namespace process_pool_map_ends_test {

TEST(ProcessPoolMap, an_element_that_cannot_be_encoded_ends_the_map_after_those_before_it) {
  ProcessPool pool(2);
  std::vector<Stubborn> inputs;
  for (int i = 0; i < 20; ++i) inputs.push_back({i});
  int taken = 0;
  bool thrown = false;
  try {
    for (int y : pool.map([](const Stubborn& s) { return s.number; }, inputs)) EXPECT_EQ(y, taken++);
  } catch (const std::domain_error&) {
    thrown = true;
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(taken, 5);
  EXPECT_THROW(pool.submit([](const Stubborn& s) { return s.number; }, Stubborn{5}), std::domain_error);
}

TEST(ProcessPoolMap, a_result_that_cannot_be_encoded_fails_alone) {
  ProcessPool pool(2);
  int good = 0, bad = 0;
  for (auto& outcome : pool.map([](int i) { return Stubborn{i}; }, std::views::iota(0, 10)).outcomes()) {
    if (outcome.ok()) {
      ++good;
      continue;
    }
    ++bad;
    EXPECT_EQ(outcome.index(), 5u);
    EXPECT_THROW(outcome.value(), std::domain_error);
  }
  EXPECT_EQ(good, 9);
  EXPECT_EQ(bad, 1);
  EXPECT_EQ(pool.stats().workers_died, 0u);
}

TEST(ProcessPoolMap, a_map_left_half_way_cancels_what_has_not_started) {
  ProcessPool pool(2);
  for (int round = 0; round < 20; ++round) {
    int taken = 0;
    for ([[maybe_unused]] int y : pool.map(slow_square, std::views::iota(0)))
      if (++taken == 10) break;
    taken = 0;
    for ([[maybe_unused]] int y : pool.map_unordered(slow_square, std::views::iota(0)))
      if (++taken == 10) break;
  }
  EXPECT_TRUE(eventually([&] {
    const auto s = pool.stats();
    return s.in_slots + s.waiting == 0 && s.submitted == s.finished;
  }));
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
  EXPECT_EQ(in_order(pool.map(square, std::views::iota(0, 1000))), squares(1000));
}

TEST(ProcessPoolMap, a_map_that_was_never_begun_does_nothing) {
  ProcessPool pool(1);
  std::atomic<int> read{0};
  {
    auto results = pool.map(square, counted(read));
    (void)results;
  }
  EXPECT_EQ(read.load(), 0);
  EXPECT_EQ(pool.stats().submitted, 0u);
}

TEST(ProcessPoolMap, a_map_left_while_its_tasks_run_lets_them_end_unseen) {
  ProcessPool pool(2);
  {
    auto results = pool.with({.look_ahead = 8})
                       .map(
                           [](int x) {
                             if (x > 0) board().pass_gate();
                             return x;
                           },
                           std::views::iota(0));
    EXPECT_EQ(*results.begin(), 0);
    EXPECT_TRUE(eventually([] { return board().at_gate.load() >= 1; }));
  }
  board().gate.store(1);
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
  EXPECT_TRUE(eventually([&] { return pool.stats().in_slots == 0; }));
}

TEST(ProcessPoolMap, tasks_behind_a_map_that_was_left_still_start) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.slot_count = 64;
  ProcessPool pool(options);
  std::vector<retinue::Future<int>> behind;
  {
    auto results = pool.with({.look_ahead = 200})
                       .map(
                           [](int) {
                             board().pass_gate();
                             return 0;
                           },
                           std::views::iota(0));
    std::thread opener([] {
      eventually([] { return board().at_gate.load() == 2; });
      board().gate.store(1);
    });
    (void)*results.begin();
    opener.join();
    board().gate.store(0);
    for (int i = 0; i < 300; ++i)
      behind.push_back(pool.submit(
          [](int k) {
            board().counters[5].fetch_add(1);
            return k;
          },
          i));
  }
  board().gate.store(1);
  // Nobody waits in the pool: the tasks must start all the same.
  EXPECT_TRUE(eventually([] { return board().counters[5].load() == 300; }));
  for (int i = 0; i < 300; ++i) EXPECT_EQ(behind[static_cast<std::size_t>(i)].get(), i);
}

TEST(ProcessPoolMap, a_map_may_outlive_its_pool_and_then_ends_with_pool_closed) {
  std::optional<ProcessPool> pool(std::in_place, 2);
  auto results = pool->with({.look_ahead = 4}).map(square, std::views::iota(0));
  auto it = results.begin();
  EXPECT_EQ(*it, 0);
  pool.reset();
  int more = 0;
  EXPECT_THROW(
      for (;;) {
        ++it;
        ++more;
        ASSERT_LE(more, 4);
      },
      retinue::PoolClosed);
  auto never_begun = [] {
    ProcessPool brief(1);
    return brief.map(square, std::views::iota(0));
  }();
  EXPECT_THROW(never_begun.begin(), retinue::PoolClosed);
}

TEST(ProcessPoolMap, a_map_whose_pool_ends_gives_what_was_submitted_before_it_says_so) {
  std::optional<ProcessPool> pool(1);
  auto results = pool->map(square, std::views::iota(0));
  auto it = results.begin();
  pool.reset();
  std::vector<int> all;
  EXPECT_THROW(for (; it != results.end(); ++it) all.push_back(*it);, retinue::PoolClosed);
  EXPECT_GT(all.size(), 1u);
  EXPECT_EQ(all, squares(static_cast<int>(all.size())));
}

TEST(ProcessPoolMap, a_map_whose_inputs_were_all_read_survives_the_end_of_its_pool) {
  auto results = [] {
    ProcessPool pool(2);
    auto r = pool.map(square, std::vector{1, 2, 3, 4, 5});
    EXPECT_EQ(*r.begin(), 1);
    return r;
  }();
  EXPECT_EQ(results.collect(), (std::vector{1, 4, 9, 16, 25}));
}

}  // namespace process_pool_map_ends_test
