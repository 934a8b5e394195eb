// Shared memory that nobody uses is returned to the system once it has been idle for two seconds, but for a share.
#include "support/process_watch.hpp"

#include <memory>
#include <optional>
#include <string>

#include <retinue/retinue.hpp>

#include "memory/region.hpp"
#include "memory/worker_heap.hpp"
#include "system/doorbell.hpp"

namespace process_pool_idle_memory_test {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::shared_memory_usage;
using retinue::SharedArray;

constexpr std::size_t kLarge = 20'000'000;
constexpr std::uint64_t kNearly = 3'000'000;  // slots of pools that come and go, and what small blocks take

std::size_t size_of(const std::string& s) { return s.size(); }
std::string make(std::size_t n) { return std::string(n, 'x'); }

/// What the kernel counts for shared memory falls back to about what it was.
bool falls_to(std::uint64_t before) {
  return eventually([&] { return shared_memory_usage().bytes_reserved < before + kNearly; });
}

class ProcessPoolIdleMemory : public testing::Test {
 protected:
  ProcessPoolIdleMemory() { retinue::keep_shared_memory(0); }
  ~ProcessPoolIdleMemory() override { retinue::keep_shared_memory(std::nullopt); }
};

TEST_F(ProcessPoolIdleMemory, what_held_arguments_is_freed) {
  ProcessPool pool(2);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  for (int again = 0; again < 2; ++again) {  // also a second time: it is a while, not the first one
    EXPECT_EQ(pool.submit(size_of, make(kLarge)).get(), kLarge);
    EXPECT_GT(shared_memory_usage().bytes_reserved, before + kLarge / 2) << "kept for the next one at first";
    EXPECT_TRUE(falls_to(before)) << shared_memory_usage().bytes_reserved;
    EXPECT_EQ(shared_memory_usage().bytes_warm, 0u);
  }
}

TEST_F(ProcessPoolIdleMemory, what_held_results_is_freed_also_if_they_were_released_while_all_workers_slept) {
  ProcessPool pool(2);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  auto result = std::make_unique<retinue::Future<std::string>>(pool.submit(make, kLarge));
  result->wait();
  nap(3s);  // the worker has no memory to return before it sleeps, and sleeps without a limit
  EXPECT_GT(shared_memory_usage().bytes_reserved, before + kLarge / 2);
  result.reset();
  EXPECT_TRUE(falls_to(before)) << shared_memory_usage().bytes_reserved;
}

TEST_F(ProcessPoolIdleMemory, a_shared_array_that_was_dropped_is_freed_though_no_task_follows) {
  ProcessPool pool(2);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  {
    const SharedArray<char> array(kLarge);
  }
  EXPECT_TRUE(falls_to(before)) << shared_memory_usage().bytes_reserved;
}

TEST_F(ProcessPoolIdleMemory, memory_that_is_used_again_and_again_is_kept) {
  ProcessPool pool(2);
  EXPECT_EQ(pool.submit(size_of, make(kLarge)).get(), kLarge);
  const auto end = Clock::now() + 3s;
  for (auto last = Clock::now(); Clock::now() < end; nap(50ms)) {
    if (Clock::now() - last > 1s) return;  // the machine gave this process no time: it was quiet after all
    EXPECT_GE(shared_memory_usage().bytes_warm, kLarge / 2);
    last = Clock::now();
    EXPECT_EQ(pool.submit(size_of, make(kLarge)).get(), kLarge);
  }
}

TEST_F(ProcessPoolIdleMemory, another_pool_frees_what_a_closed_pool_has_left) {
  ProcessPool before_it(1);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  auto pool = std::make_unique<ProcessPool>(1);
  EXPECT_EQ(pool->submit(size_of, make(kLarge)).get(), kLarge);
  ProcessPool after_it(1);
  pool.reset();
  before_it.shutdown();
  EXPECT_GE(shared_memory_usage().bytes_warm, kLarge / 2) << "kept as long as there is a pool";
  EXPECT_TRUE(falls_to(before)) << shared_memory_usage().bytes_reserved;
}

TEST_F(ProcessPoolIdleMemory, the_last_pool_frees_all_at_once) {
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  {
    ProcessPool pool(2);
    EXPECT_EQ(pool.submit(size_of, make(kLarge)).get(), kLarge);
  }
  EXPECT_EQ(shared_memory_usage().bytes_warm, 0u);
  EXPECT_LT(shared_memory_usage().bytes_reserved, before + kNearly);
}

/// Large enough for both halves of what is used below.
constexpr std::uint64_t kShare = 8 * kLarge;

TEST_F(ProcessPoolIdleMemory, a_share_is_kept_by_owner_and_workers_until_it_is_recalled) {
  retinue::keep_shared_memory(kShare);
  ProcessPool pool(2);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  EXPECT_EQ(pool.submit(size_of, make(kLarge)).get(), kLarge);
  EXPECT_EQ(pool.submit(make, kLarge).get().size(), kLarge);
  nap(6s);  // two periods, and some more
  EXPECT_GE(shared_memory_usage().bytes_warm, kLarge);
  EXPECT_GE(shared_memory_usage().bytes_reserved, before + 2 * kLarge);
  retinue::trim_shared_memory();
  EXPECT_EQ(shared_memory_usage().bytes_warm, 0u);
  EXPECT_TRUE(falls_to(before)) << "the worker's, who was asleep: " << shared_memory_usage().bytes_reserved;
}

TEST_F(ProcessPoolIdleMemory, what_is_beyond_the_share_is_freed) {
  retinue::keep_shared_memory(4 * kLarge);
  ProcessPool pool(2);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  {
    const SharedArray<char> array(5 * kLarge);
  }
  EXPECT_TRUE(eventually([&] { return shared_memory_usage().bytes_warm < 2 * kLarge + kNearly; }));
  EXPECT_GE(shared_memory_usage().bytes_warm, kLarge);
  EXPECT_LT(shared_memory_usage().bytes_reserved, before + 2 * kLarge + kNearly);
}

TEST_F(ProcessPoolIdleMemory, a_share_that_is_taken_back_is_freed) {
  retinue::keep_shared_memory(kShare);
  ProcessPool pool(2);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  EXPECT_EQ(pool.submit(make, kLarge).get().size(), kLarge);
  nap(5s);
  EXPECT_GE(shared_memory_usage().bytes_reserved, before + kLarge);
  retinue::keep_shared_memory(0);
  EXPECT_TRUE(falls_to(before)) << shared_memory_usage().bytes_reserved;
}

TEST_F(ProcessPoolIdleMemory, a_share_that_is_taken_back_is_freed_also_by_a_worker_to_which_nothing_is_on_its_way) {
  retinue::keep_shared_memory(kShare);
  ProcessPool pool(1);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  EXPECT_EQ(pool.submit(make, kLarge).get().size(), kLarge);
  const auto held = pool.submit(make, std::size_t{100'000});  // for which the worker takes what came back
  held.wait();
  nap(5s);
  EXPECT_GE(shared_memory_usage().bytes_reserved, before + kLarge / 2);
  retinue::keep_shared_memory(0);
  EXPECT_TRUE(falls_to(before)) << shared_memory_usage().bytes_reserved;
}

TEST_F(ProcessPoolIdleMemory, small_results_that_are_released_one_after_the_other_do_not_ring_each_time) {
  namespace detail = retinue::detail;
  detail::Region& region = detail::Region::of_this_process();
  region.trim();
  detail::Doorbell doorbell;
  region.add_trim_subscriber(doorbell);
  detail::ReturnStack home;
  detail::Arena* const arena = region.make_arena(&home, 1);
  {
    detail::WorkerHeap heap(region, arena->extent(), home);
    const auto release_one = [&] {
      const std::uint64_t block = heap.allocate(1000);
      region.adopt(arena, block, 1000);
      region.release(arena, block, 1000);
    };
    release_one();
    EXPECT_TRUE(doorbell.drain());
    EXPECT_TRUE(region.trim_when_idle().again.has_value());
    release_one();
    EXPECT_FALSE(doorbell.drain());
  }
  region.retire(arena);
  region.remove_trim_subscriber(doorbell);
}

TEST_F(ProcessPoolIdleMemory, with_a_limit_nothing_is_kept_unless_asked_for) {
  retinue::keep_shared_memory(std::nullopt);
  ProcessPool pool(2);
  const std::uint64_t before = shared_memory_usage().bytes_reserved;
  retinue::limit_shared_memory(before + 3 * kLarge);
  EXPECT_EQ(pool.submit(size_of, make(kLarge)).get(), kLarge);
  EXPECT_TRUE(falls_to(before)) << shared_memory_usage().bytes_reserved;
  retinue::limit_shared_memory(0);
}

}  // namespace process_pool_idle_memory_test
