// Coroutines that await tasks of a ThreadPool.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include <retinue/thread_pool.hpp>

#include "detached.hpp"

namespace {  // g++ warns of coroutines in a named one

using namespace std::chrono_literals;
using retinue::ThreadPool;
using retinue_test::Detached;

Detached sum_of_two(ThreadPool& pool, std::atomic<int>& result) {
  const int a = co_await pool.submit([] { return 9; });
  const int b = co_await pool.submit([] {
    std::this_thread::sleep_for(5ms);
    return 4;
  });
  int failed = 0;
  try {
    co_await pool.submit([] { throw std::runtime_error("no"); });
  } catch (const std::runtime_error&) {
    failed = 100;
  }
  result = a + b + failed;
}

TEST(ThreadPool, coroutines_await_its_futures) {
  ThreadPool pool(2);
  std::atomic<int> result = 0;
  sum_of_two(pool, result);
  const auto end = std::chrono::steady_clock::now() + 20s;  // far more than it takes, also under sanitizers
  while (result != 113 && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(100us);
  EXPECT_EQ(result, 113);
}

}  // namespace
