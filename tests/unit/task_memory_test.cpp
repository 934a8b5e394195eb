#include <retinue/detail/tasks/task_memory.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <malloc.h>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace task_memory_test {
namespace {

using retinue::detail::allocate_task_memory;
using retinue::detail::free_task_memory;

constexpr std::size_t kSizes[] = {1, 64, 65, 192, 224, 256, 300, 5000};

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
std::size_t bytes_in_use() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}
#endif

std::vector<void*> burst(std::size_t count, std::size_t bytes) {
  std::vector<void*> pieces(count);
  for (void*& piece : pieces) std::memset(piece = allocate_task_memory(bytes), 0xa5, bytes);
  return pieces;
}

TEST(TaskMemory, pieces_are_aligned_and_do_not_overlap) {
  for (const std::size_t bytes : kSizes) {
    const std::vector<void*> pieces = burst(3000, bytes);
    const std::set<void*> sorted(pieces.begin(), pieces.end());
    ASSERT_EQ(sorted.size(), pieces.size());
    std::uintptr_t end = 0;
    for (void* piece : sorted) {
      const auto at = reinterpret_cast<std::uintptr_t>(piece);
      EXPECT_EQ(at % 64, 0u);
      EXPECT_GE(at, end);
      end = at + bytes;
    }
    for (void* piece : pieces) free_task_memory(piece, bytes);
  }
}

TEST(TaskMemory, what_another_thread_has_made_can_be_freed_after_its_end) {
  for (const std::size_t bytes : kSizes) {
    std::vector<void*> pieces;
    std::thread([&] { pieces = burst(1000, bytes); }).join();
    for (void* piece : pieces) {
      EXPECT_EQ(static_cast<unsigned char*>(piece)[bytes - 1], 0xa5);
      free_task_memory(piece, bytes);
    }
  }
}

TEST(TaskMemory, pieces_that_change_hands_all_the_time_stay_whole) {
  constexpr std::size_t kThreads = 4, kPieces = 500, kRounds = 60;
  std::vector<std::vector<void*>> hands(kThreads);
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::vector<std::thread> threads;
    threads.reserve(kThreads);
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&hands, i] {
        for (void* piece : hands[i]) free_task_memory(piece, 200);
        hands[i].clear();
        for (std::size_t n = 0; n < kPieces; ++n) {
          auto* const words = static_cast<std::uint64_t*>(allocate_task_memory(200));
          std::fill_n(words, 25, i * kPieces + n);
          hands[i].push_back(words);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 0; i < kThreads; ++i)
      for (std::size_t n = 0; n < kPieces; ++n) {
        const auto* const words = static_cast<const std::uint64_t*>(hands[i][n]);
        ASSERT_EQ(std::count(words, words + 25, i * kPieces + n), 25);
      }
    std::rotate(hands.begin(), hands.begin() + 1, hands.end());
  }
  for (const auto& hand : hands)
    for (void* piece : hand) free_task_memory(piece, 200);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(TaskMemory, a_burst_is_given_back) {
  const std::size_t before = bytes_in_use();
  std::vector<void*> pieces = burst(200'000, 224);
  ASSERT_GT(bytes_in_use(), before + 40'000'000);
  for (void* piece : pieces) free_task_memory(piece, 224);
  pieces = {};
  EXPECT_LT(bytes_in_use(), before + 6'000'000);  // what threads trade, and chunks that are not full
}

TEST(TaskMemory, bursts_that_are_freed_in_any_order_do_not_add_up) {
  std::mt19937 random(7);
  const auto round = [&] {
    std::vector<void*> pieces = burst(50'000, 100);
    const std::size_t peak = bytes_in_use();
    std::shuffle(pieces.begin(), pieces.end(), random);
    for (void* piece : pieces) free_task_memory(piece, 100);
    return peak;
  };
  // Pieces that threads keep for trade hold chunks of earlier rounds, of fewer rounds the fewer pieces that is.
  const std::size_t first = round();
  const std::size_t settled = std::max({round(), round(), round(), round()});
  EXPECT_LT(settled, 4 * first);
  for (int i = 0; i < 20; ++i) EXPECT_LT(round(), settled + 4'000'000);
}

TEST(TaskMemory, threads_leave_nothing_behind) {
  const auto live = [] {
    for (const std::size_t bytes : kSizes) free_task_memory(allocate_task_memory(bytes), bytes);
  };
  std::thread(live).join();
  const std::size_t before = bytes_in_use();
  for (int i = 0; i < 100; ++i) std::thread(live).join();
  EXPECT_LT(bytes_in_use(), before + 1'000'000);
}
#endif

}  // namespace
}  // namespace task_memory_test
