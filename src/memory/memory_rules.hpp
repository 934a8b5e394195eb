// How much memory the region may take, and of what kind.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>

#include "address_space.hpp"
#include "shared_file.hpp"

namespace retinue::detail {

/// Lies in the region, so that it holds for all its processes. What is measured against the limit is what the kernel
/// says the file takes: nothing to count, and nothing that a killed process could leave counted.
struct MemoryRules {
  static constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();
  std::atomic<std::uint64_t> limit{kNone};         ///< bytes
  std::atomic<std::uintptr_t> huge_pages_from{0};  ///< where the region is mapped, if huge pages are wanted in it
  std::atomic<std::uint64_t> kept_by_worker{0};    ///< bytes of warm memory that an idle worker keeps
  std::atomic<std::uint64_t> recalls{0};           ///< how often all warm memory has been wanted back
};

/// Throws ResourceExhausted if the file would take more than the limit with `more` bytes than it takes now.
void check_limit(const MemoryRules& rules, const SharedFile& file, std::uint64_t more);

/// `reserve`, but throws ResourceExhausted and reserves nothing if the file would then take more than the limit.
void reserve_within(const MemoryRules& rules, const SharedFile& file, Extent extent);

/// The bytes that an environment variable such as RETINUE_SHARED_MEMORY_LIMIT asks for: a number, or one with a K, M, G or T
/// behind it. Nullopt if it is not set. Throws Error if it is neither, or less than `least`.
std::optional<std::uint64_t> bytes_from_environment(const char* name, std::uint64_t least);

}  // namespace retinue::detail
