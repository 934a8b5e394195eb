// How much memory the region may take.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "address_space.hpp"

namespace retinue::detail {

/// Lies in the region, so that one word holds for all its processes. What is measured against it is what the kernel
/// says the file takes: nothing to count, and nothing that a killed process could leave counted.
struct MemoryLimit {
  static constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();
  std::atomic<std::uint64_t> bytes{kNone};
};

/// Bytes of memory that the file takes. Throws Error if the kernel does not say.
std::uint64_t memory_of_file(int memfd);

/// `reserve`, but throws ResourceExhausted and reserves nothing if the file would then take more than the limit.
void reserve_within(const MemoryLimit& limit, int memfd, Extent extent);

/// The limit that the environment variable RETINUE_SHARED_MEMORY_LIMIT asks for: bytes, or with a K, M, G or T behind
/// them. kNone if it is not set. Throws Error if it is neither.
std::uint64_t limit_from_environment();

}  // namespace retinue::detail
