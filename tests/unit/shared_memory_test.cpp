// Arrays that tasks return, how much memory is shared, and views of it that are private.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <retinue/detail/memory/private_memory.hpp>
#include <retinue/map.hpp>
#include <retinue/process_pool.hpp>
#include <retinue/serial_executor.hpp>
#include <retinue/shared_memory.hpp>
#include <retinue/thread_pool.hpp>
#include <retinue/wait.hpp>

#include "pool_tasks.hpp"

namespace shared_memory_test {

using namespace std::chrono_literals;
using retinue::ProcessPool;
using retinue::SharedArray;
using retinue::detail::PrivateMemory;
using retinue_test::eventually;

SharedArray<int> count_up(std::size_t n) {
  SharedArray<int> numbers(n);
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

bool counts_up(const SharedArray<int>& numbers, std::size_t n) {
  if (numbers.size() != n) return false;
  for (std::size_t i = 0; i < n; ++i)
    if (numbers[i] != static_cast<int>(i)) return false;
  return true;
}

std::uint64_t in_use() { return retinue::shared_memory_usage().bytes_in_use; }

// Arrays as results

TEST(ArrayResult, passes_to_the_owner_as_it_is) {
  const std::uint64_t before = in_use();
  {
    ProcessPool pool(2);
    for (const std::size_t n : {0u, 1u, 50u, 1000u, 1'000'000u}) {
      auto numbers = pool.submit(count_up, n).get();
      EXPECT_TRUE(counts_up(numbers, n)) << n;
      if (n != 0) numbers[n - 1] = -1;
    }
    std::size_t n = 0;
    for (auto& numbers : pool.map(count_up, std::views::iota(std::size_t{0}, std::size_t{300})))
      EXPECT_TRUE(counts_up(numbers, n++));
    std::vector<SharedArray<int>> all;
    for (auto& outcome : pool.map_unordered(count_up, std::vector<std::size_t>(20, 10'000)).outcomes())
      all.push_back(std::move(outcome.value()));
    for (const auto& numbers : all) EXPECT_TRUE(counts_up(numbers, 10'000));
    EXPECT_GE(in_use(), before + 20 * 10'000 * sizeof(int));
  }
  EXPECT_EQ(in_use(), before);
}

TEST(ArrayResult, is_given_once) {
  ProcessPool pool(1);
  auto future = pool.submit(count_up, std::size_t{1000});
  EXPECT_TRUE(counts_up(future.get(), 1000));
  EXPECT_THROW(future.get(), retinue::Error);
}

TEST(ArrayResult, outlives_its_worker_and_its_pool) {
  const std::uint64_t before = in_use();
  std::optional<ProcessPool> pool(std::in_place, 1u);
  auto first = pool->submit(count_up, std::size_t{100'000}).get();
  kill(pool->worker_pids().at(0), SIGKILL);
  auto second = pool->submit(count_up, std::size_t{100'000}).get();
  pool.reset();
  ProcessPool another(1);
  EXPECT_TRUE(counts_up(another.submit(count_up, std::size_t{200'000}).get(), 200'000));
  EXPECT_TRUE(counts_up(first, 100'000));
  EXPECT_TRUE(counts_up(second, 100'000));
  first = {};
  second = {};
  EXPECT_EQ(in_use(), before);
}

TEST(ArrayResult, that_nobody_takes_is_freed) {
  const std::uint64_t before = in_use();
  ProcessPool pool(1);
  for (int i = 0; i < 10; ++i) {
    auto dropped = pool.submit(count_up, std::size_t{100'000});
    if (i % 2 == 0) dropped.wait();
  }
  pool.submit([] {}).get();
  EXPECT_TRUE(eventually([&] { return pool.stats().in_slots == 0 && in_use() == before; }));
}

TEST(ArrayResult, of_another_processes_memory_is_copied) {
  ProcessPool pool(1);
  const auto through_a_pool_inside = [](std::size_t n) {
    ProcessPool inside(1);
    return inside.submit(count_up, n).get();
  };
  EXPECT_TRUE(counts_up(pool.submit(through_a_pool_inside, std::size_t{10'000}).get(), 10'000));
  EXPECT_TRUE(counts_up(pool.submit(through_a_pool_inside, std::size_t{10}).get(), 10));
}

TEST(ArrayResult, of_a_task_that_dies_with_it_is_lost_with_the_worker) {
  const std::uint64_t before = in_use();
  ProcessPool pool(1);
  for (int i = 0; i < 5; ++i) {
    auto future = pool.submit([] {
      const SharedArray<int> numbers = count_up(1'000'000);
      raise(SIGKILL);
      return static_cast<int>(numbers.size());
    });
    EXPECT_THROW(future.get(), retinue::WorkerDied);
  }
  EXPECT_TRUE(counts_up(pool.submit(count_up, std::size_t{1000}).get(), 1000));
  EXPECT_EQ(in_use(), before);
}

TEST(ArrayResult, is_the_same_with_every_executor) {
  retinue::ThreadPool threads(2);
  EXPECT_TRUE(counts_up(threads.submit(count_up, std::size_t{1000}).get(), 1000));
  retinue::SerialExecutor serial;
  EXPECT_TRUE(counts_up(serial.submit(count_up, std::size_t{1000}).get(), 1000));
  const int base = 5;
  for (auto& numbers : retinue::map([&base](int n) { return SharedArray<int>(static_cast<std::size_t>(n), base); },
                                    std::vector{1, 10, 1000})) {
    EXPECT_EQ(numbers[numbers.size() - 1], 5);
  }
}

// Usage and limit

TEST(SharedMemoryUsage, counts_blocks_and_remembers_the_peak) {
  {
    const SharedArray<char> a(5'000'000);
  }
  EXPECT_LT(retinue::shared_memory_usage().bytes_warm, 1'000'000u) << "without a pool nothing large is kept";
  const retinue::ProcessPool pool(1);  // which sees to what is kept
  const auto before = retinue::shared_memory_usage();
  {
    const SharedArray<char> a(5'000'000), b(100);
    const auto now = retinue::shared_memory_usage();
    EXPECT_EQ(now.blocks, before.blocks + 2);
    EXPECT_GE(now.bytes_in_use, before.bytes_in_use + 5'000'100);
    EXPECT_GE(now.bytes_peak, now.bytes_in_use);
    EXPECT_GE(now.bytes_reserved, now.bytes_in_use);
  }
  const auto after = retinue::shared_memory_usage();
  EXPECT_EQ(after.bytes_in_use, before.bytes_in_use);
  EXPECT_EQ(after.blocks, before.blocks);
  EXPECT_GE(after.bytes_peak, before.bytes_in_use + 5'000'100);
  EXPECT_GE(after.bytes_warm, 5'000'000u);
  retinue::trim_shared_memory();
  EXPECT_LT(retinue::shared_memory_usage().bytes_reserved, after.bytes_reserved);
}

struct LimitForNow {
  explicit LimitForNow(std::uint64_t more) {
    retinue::trim_shared_memory();
    retinue::limit_shared_memory(retinue::shared_memory_usage().bytes_reserved + more);
  }
  ~LimitForNow() { retinue::limit_shared_memory(0); }
};

TEST(SharedMemoryLimit, holds_for_arrays_arguments_and_results) {
  ProcessPool pool(1);
  const LimitForNow limit(20'000'000);
  EXPECT_EQ(retinue::shared_memory_usage().bytes_limit, retinue::shared_memory_usage().bytes_reserved + 20'000'000);
  EXPECT_THROW(SharedArray<char>(30'000'000), retinue::ResourceExhausted);
  EXPECT_NO_THROW(SharedArray<char>(10'000'000));
  const std::vector<char> large(30'000'000);
  const auto size = [](std::span<const char> s) { return s.size(); };
  EXPECT_THROW(pool.submit(size, large), retinue::ResourceExhausted);
  EXPECT_THROW(pool.map(size, std::views::single(large)).collect(), retinue::ResourceExhausted);
  EXPECT_THROW(pool.submit(count_up, std::size_t{8'000'000}).get(), retinue::ResourceExhausted);
  EXPECT_LE(retinue::shared_memory_usage().bytes_reserved, retinue::shared_memory_usage().bytes_limit);
  EXPECT_EQ(pool.submit(size, std::vector<char>(1000)).get(), 1000u);
  retinue::limit_shared_memory(0);
  EXPECT_EQ(pool.submit(size, large).get(), large.size());
}

TEST(SharedMemoryLimit, lets_what_is_warm_in_small_pieces_go_first) {
  const LimitForNow limit(20'000'000);
  for (int round = 0; round < 20; ++round) {
    const auto half = static_cast<std::size_t>(9'000'000 + 50'000 * round);
    EXPECT_NO_THROW((void)SharedArray<char>(half));
    EXPECT_NO_THROW((void)SharedArray<char>(19'000'000 - 70'000 * static_cast<std::size_t>(round)));
  }
}

// Private views

constexpr std::size_t kBytes = 3 << 20;

TEST(PrivateMemory, shows_what_is_there_and_hides_what_is_written) {
  SharedArray<char> shared(kBytes, 'a');
  auto view = PrivateMemory::of(shared.data() + 100, kBytes - 100, nullptr);
  ASSERT_TRUE(view);
  auto* bytes = static_cast<char*>(view->data());
  EXPECT_EQ(view->size(), kBytes - 100);
  EXPECT_EQ(bytes[0], 'a');
  bytes[5] = 'b';
  EXPECT_EQ(shared[105], 'a');
  retinue::detail::complete_borrowed();
  std::memset(shared.data(), 'c', kBytes);
  EXPECT_EQ(bytes[5], 'b');
  EXPECT_EQ(std::count(bytes, bytes + view->size(), 'a'), static_cast<std::ptrdiff_t>(kBytes) - 101);
}

TEST(PrivateMemory, keeps_its_source_until_it_is_complete) {
  SharedArray<char> shared(kBytes, 'a');
  auto source = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = source;
  {
    auto view = PrivateMemory::of(shared.data(), kBytes, std::move(source));
    ASSERT_TRUE(view);
    retinue::detail::complete_borrowed();
    EXPECT_FALSE(watch.expired()) << "it is not borrowed";
    const pid_t child = fork();
    if (child == 0) _exit(static_cast<char*>(view->data())[kBytes - 1] == 'a' ? 0 : 1);
    EXPECT_TRUE(watch.expired()) << "a fork completes it";
    std::memset(shared.data(), 'c', kBytes);
    EXPECT_EQ(static_cast<char*>(view->data())[0], 'a');
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  auto again = std::make_shared<int>(2);
  const std::weak_ptr<int> watch_again = again;
  PrivateMemory::of(shared.data(), kBytes, std::move(again)).reset();
  EXPECT_TRUE(watch_again.expired());
}

TEST(PrivateMemory, is_of_shared_memory_only) {
  const std::vector<char> ordinary(kBytes);
  EXPECT_FALSE(PrivateMemory::of(ordinary.data(), kBytes, nullptr));
}

TEST(PrivateMemory, comes_and_goes_in_many_threads_while_others_fork) {
  SharedArray<char> shared(kBytes, 'a');
  std::atomic<bool> good = true, stop = false;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      while (!stop) {
        auto view = PrivateMemory::of(shared.data(), kBytes, std::make_shared<int>(0));
        if (!view) continue;
        auto* bytes = static_cast<char*>(view->data());
        bytes[0] = 'b';
        if (bytes[0] != 'b' || bytes[kBytes - 1] != 'a') good = false;
      }
    });
  for (int i = 0; i < 20; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  threads.clear();
  EXPECT_TRUE(good);
  EXPECT_EQ(shared[0], 'a');
}

}  // namespace shared_memory_test
