// How much memory the region may take, and of what kind.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "address_space.hpp"
#include "shared_file.hpp"

namespace retinue::detail {

/// Lies in the region, so that it holds for all its processes. What is measured against the limit is what the kernel
/// says the file takes: nothing to count, and nothing that a killed process could leave counted.
struct MemoryRules {
  static constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();
  std::atomic<std::uint64_t> limit{kNone};         ///< bytes
  std::atomic<std::uintptr_t> huge_pages_from{0};  ///< where the region is mapped, if huge pages are wanted in it
};

/// `reserve`, but throws ResourceExhausted and reserves nothing if the file would then take more than the limit.
void reserve_within(const MemoryRules& rules, const SharedFile& file, Extent extent);

/// The limit that the environment variable RETINUE_SHARED_MEMORY_LIMIT asks for: bytes, or with a K, M, G or T behind
/// them. kNone if it is not set. Throws Error if it is neither.
std::uint64_t limit_from_environment();

}  // namespace retinue::detail
