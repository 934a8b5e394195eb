// Waiting for several futures.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include <retinue/serial_executor.hpp>
#include <retinue/thread_pool.hpp>
#include <retinue/wait.hpp>

namespace wait_test {

using namespace std::chrono_literals;
using retinue::FutureStatus;

int after(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  return ms;
}

TEST(WaitAll, waits_for_all_and_never_throws_what_they_threw) {
  retinue::ThreadPool pool(4);
  std::vector<retinue::Future<int>> futures;
  for (int ms : {20, 1, 10}) futures.push_back(pool.submit(after, ms));
  futures.push_back(pool.submit([]() -> int { throw 5; }));
  EXPECT_EQ(retinue::wait_all(futures, 20s), FutureStatus::ready);
  for (const auto& f : futures) EXPECT_TRUE(f.done());
  retinue::wait_all(futures);
  retinue::wait_all(std::vector<retinue::Future<int>>{});
}

TEST(WaitAll, gives_up_at_its_timeout) {
  retinue::ThreadPool pool(1);
  std::vector<retinue::Future<int>> futures;
  futures.push_back(pool.submit(after, 300));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(retinue::wait_all(futures, 5ms), FutureStatus::timeout);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 250ms);
  EXPECT_EQ(retinue::wait_all(futures, std::chrono::hours::max()), FutureStatus::ready);
}

TEST(WaitAll, takes_futures_of_different_types_and_executors) {
  retinue::ThreadPool one(1), other(1);
  retinue::SerialExecutor serial;
  auto a = one.submit(after, 5);
  auto b = other.submit([] { return std::string("b"); });
  auto c = serial.submit([] {});
  retinue::wait_all(a, b, c);
  EXPECT_TRUE(a.done() && b.done() && c.done());
}

TEST(WaitAny, gives_the_place_of_one_that_is_done) {
  retinue::ThreadPool pool(2), other(1);
  std::atomic<bool> open = false;
  const auto gate = [&open] {
    for (int i = 0; i < 20'000 && !open; ++i) std::this_thread::sleep_for(1ms);
  };
  std::vector<retinue::Future<void>> futures;
  futures.push_back(pool.submit(gate));
  futures.push_back(other.submit([] { std::this_thread::sleep_for(10ms); }));
  EXPECT_EQ(retinue::wait_any(futures), 1U);
  auto text = other.submit([] { return std::string("x"); });
  EXPECT_EQ(retinue::wait_any(futures[0], text), 1U);
  open = true;
  futures[0].wait();
  EXPECT_EQ(retinue::wait_any(futures), 0U);
}

TEST(WaitAny, gives_nothing_at_its_timeout_and_refuses_to_wait_for_nothing) {
  retinue::ThreadPool pool(1);
  std::vector<retinue::Future<int>> futures;
  EXPECT_THROW(retinue::wait_any(futures), retinue::Error);
  futures.push_back(pool.submit(after, 100));
  EXPECT_EQ(retinue::wait_any(futures, 2ms), std::nullopt);
  EXPECT_EQ(retinue::wait_any(futures, 20s), 0U);
  futures.emplace_back();
  EXPECT_THROW(retinue::wait_any(futures), retinue::Error);
  EXPECT_THROW(retinue::wait_all(futures), retinue::Error);
}

TEST(WaitAny, wakes_every_thread_that_waits) {
  retinue::ThreadPool pool(1);
  std::atomic<bool> open = false;
  auto one = pool.submit([&open] {
    for (int i = 0; i < 20'000 && !open; ++i) std::this_thread::sleep_for(1ms);
  });
  std::atomic<int> woken = 0;
  {
    std::vector<std::jthread> waiters;
    for (int i = 0; i < 8; ++i) {
      waiters.emplace_back([&, i] {
        if (i % 2 == 0) woken += one.wait_for(20s) == FutureStatus::ready;
        else
          woken +=
              retinue::wait_any(std::views::single(std::ref(one)) |
                                    std::views::transform([](auto& r) -> retinue::Future<void>& { return r.get(); }),
                                20s)
                  .has_value();
      });
    }
    std::this_thread::sleep_for(10ms);
    open = true;
  }
  EXPECT_EQ(woken, 8);
}

}  // namespace wait_test
