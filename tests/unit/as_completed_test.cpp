// Futures in the order in which they are done.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <list>
#include <ranges>
#include <set>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

#include <retinue/as_completed.hpp>
#include <retinue/process_pool.hpp>
#include <retinue/serial_executor.hpp>
#include <retinue/thread_pool.hpp>

namespace as_completed_test {

using namespace std::chrono_literals;

int square(int x) { return x * x; }

TEST(AsCompleted, gives_the_quick_ones_first) {
  retinue::ThreadPool pool(3);
  std::atomic<int> turn = 0;
  const auto in_turn = [&turn](int n) {
    for (int i = 0; i < 20'000 && turn < n; ++i) std::this_thread::sleep_for(1ms);
    return n;
  };
  std::vector<retinue::Future<int>> futures;
  for (int n : {2, 0, 1}) futures.push_back(pool.submit(in_turn, n));
  std::vector<int> finished;
  for (auto& f : retinue::as_completed(futures)) {
    finished.push_back(f.get());
    ++turn;
  }
  EXPECT_EQ(finished, (std::vector{0, 1, 2}));
  EXPECT_EQ(futures[0].get(), 2) << "the range refers to named futures and leaves them";
}

TEST(AsCompleted, gives_each_of_many_tiny_ones_once) {
  retinue::ThreadPool pool(2);
  std::vector<retinue::Future<int>> futures;
  for (int i = 0; i < 30'000; ++i) futures.push_back(pool.submit(square, i));
  std::set<retinue::Future<int>*> given;
  for (auto& f : retinue::as_completed(futures, 20s)) EXPECT_TRUE(given.insert(&f).second && f.done());
  EXPECT_EQ(given.size(), futures.size());
}

TEST(AsCompleted, takes_over_temporaries_and_refers_through_views) {
  retinue::ThreadPool pool(2);
  const auto make = [&pool] {
    std::list<retinue::Future<int>> futures;
    for (int i = 0; i < 10; ++i) futures.push_back(pool.submit(square, i));
    return futures;
  };
  int sum = 0;
  for (auto& f : retinue::as_completed(make())) sum += f.get();
  EXPECT_EQ(sum, 285);

  std::vector<retinue::Future<int>> futures;
  for (int i = 0; i < 10; ++i) futures.push_back(pool.submit(square, i));
  for (auto& f : retinue::as_completed(std::span(futures).subspan(5))) sum -= f.get();
  EXPECT_EQ(sum, 285 - 255);
  EXPECT_TRUE(futures[9].valid());

  for (auto& f : retinue::as_completed(std::views::iota(0, 3) |
                                       std::views::transform([&pool](int i) { return pool.submit(square, i); }))) {
    sum += f.get();
  }
  EXPECT_EQ(sum, 30 + 5);
}

TEST(AsCompleted, mixes_executors_and_gives_failures_and_cancelled_ones_too) {
  retinue::ThreadPool one(1), other(1);
  retinue::SerialExecutor serial;
  std::atomic<bool> open = false;
  auto blocks = one.submit([&open] {
    for (int i = 0; i < 20'000 && !open; ++i) std::this_thread::sleep_for(1ms);
  });
  std::vector<retinue::Future<int>> futures;
  futures.push_back(one.submit(square, 1));
  futures.push_back(other.submit([]() -> int { throw std::domain_error("no"); }));
  futures.push_back(serial.submit(square, 3));
  futures.push_back(one.submit(square, 4));
  EXPECT_TRUE(futures[3].cancel());
  int values = 0, failures = 0, n = 0;
  for (auto& f : retinue::as_completed(futures, 20s)) {
    try {
      values += f.get();
    } catch (const std::domain_error&) {
      ++failures;
    } catch (const retinue::Cancelled&) {
      ++failures;
    }
    if (++n == 3) open = true;
  }
  EXPECT_EQ(values, 10);
  EXPECT_EQ(failures, 2);
  blocks.wait();
}

TEST(AsCompleted, gives_threads_and_processes_in_one_order) {
  retinue::ProcessPool processes(2);
  retinue::ThreadPool threads(2);
  std::vector<retinue::Future<int>> futures;
  for (int i = 0; i < 500; ++i) {
    futures.push_back(processes.submit(square, i));
    futures.push_back(threads.submit(square, i));
  }
  long sum = 0;
  for (auto& f : retinue::as_completed(futures, 20s)) sum += f.get();
  EXPECT_EQ(sum, 2 * 41'541'750L);

  // A thread that waits for processes leaves its place to other tasks.
  retinue::ThreadPool one(1);
  auto slow = processes.submit([] {
    std::this_thread::sleep_for(50ms);
    return 1;
  });
  auto waits = one.submit([&] { return retinue::wait_any(slow); });
  auto passes = one.submit([&] { return !slow.done(); });
  ASSERT_EQ(passes.wait_for(20s), retinue::FutureStatus::ready);
  ASSERT_EQ(waits.wait_for(20s), retinue::FutureStatus::ready);
}

TEST(AsCompleted, throws_at_its_timeout_what_it_has_not_and_leaves_the_futures) {
  retinue::ThreadPool pool(2);
  std::atomic<bool> open = false;
  std::vector<retinue::Future<int>> futures;
  futures.push_back(pool.submit([&open] {
    for (int i = 0; i < 20'000 && !open; ++i) std::this_thread::sleep_for(1ms);
    return 1;
  }));
  futures.push_back(pool.submit(square, 2));
  int n = 0;
  EXPECT_THROW(for ([[maybe_unused]] auto& f : retinue::as_completed(futures, 100ms))++ n, retinue::TaskTimeout);
  EXPECT_EQ(n, 1);
  open = true;
  EXPECT_EQ(futures[0].get(), 1);
}

TEST(AsCompleted, refuses_empty_futures_and_gives_nothing_for_none) {
  std::vector<retinue::Future<int>> futures;
  for ([[maybe_unused]] auto& f : retinue::as_completed(futures)) ADD_FAILURE();
  futures.emplace_back();
  EXPECT_THROW(retinue::as_completed(futures), retinue::Error);
}

TEST(AsCompleted, works_inside_a_task_of_the_same_pool_of_one) {
  retinue::ThreadPool pool(1);
  auto sum = pool.submit([&pool] {
    std::vector<retinue::Future<int>> futures;
    for (int i = 0; i < 100; ++i) futures.push_back(pool.submit(square, i));
    int total = 0;
    for (auto& f : retinue::as_completed(futures)) total += f.get();
    return total;
  });
  ASSERT_EQ(sum.wait_for(20s), retinue::FutureStatus::ready);
  EXPECT_EQ(sum.get(), 328'350);
}

}  // namespace as_completed_test
