// A pool whose shared memory a test may write to.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include <retinue/process_pool.hpp>

#include "memory/region.hpp"
#include "processes/control.hpp"
#include "support/process_watch.hpp"

namespace retinue_test::wild_writes {

using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::detail::PoolMemory;
using retinue::detail::Region;

/// Where the pool that is made next will have its memory: the first place that is free.
inline std::uintptr_t place_of_next_pool(unsigned workers, std::uint64_t slots) {
  Region& region = Region::of_this_process();
  const auto extent = region.allocate_control(PoolMemory::bytes_needed(workers, slots));
  region.free_control(extent);
  return reinterpret_cast<std::uintptr_t>(region.at(extent.offset));
}

inline constexpr unsigned kWorkers = 3;
inline constexpr std::uint64_t kSlots = 64;
/// As long as a damaged pool may take; a look that doubts a worker waits five seconds before it kills it.
inline constexpr std::chrono::seconds kLongest{30 * kPatience};

inline int twice(int x) { return 2 * x; }
inline ProcessPoolOptions options() {
  ProcessPoolOptions o;
  o.workers = kWorkers;
  o.slot_count = kSlots;
  return o;
}

/// A pool whose shared memory is known: it lies at the first place that was free.
struct OpenPool {
  OpenPool()
      : where(place_of_next_pool(kWorkers, kSlots)),
        pool(options()),
        memory(PoolMemory::at(reinterpret_cast<std::byte*>(where), kWorkers, kSlots)) {}
  /// Waits until each worker sleeps, so that what is overwritten then is found overwritten by them.
  void settle() const {
    EXPECT_TRUE(eventually([&] { return memory.control->idlers[0].asleep.load() == (1u << kWorkers) - 1; }));
  }
  const std::uintptr_t where;
  ProcessPool pool;
  PoolMemory memory;
};

}  // namespace retinue_test::wild_writes
