// What this process holds: counted before and after each round, and nothing may be left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

namespace retinue_chaos {

struct Census {
  std::set<std::string> processes;         ///< below this one
  std::multiset<std::string> descriptors;  ///< by what they are of
  std::multiset<std::string> shared_mappings;
  std::set<std::string> shm_entries;  ///< of Retinue's in /dev/shm
  std::size_t threads = 0;
  std::size_t mappings = 0;
  std::uint64_t shared_bytes = 0;  ///< blocks in use
  std::uint64_t shared_blocks = 0;
  std::uint64_t reserved_bytes = 0;  ///< what the kernel counts for the region, once trimmed
  std::uint64_t heap_bytes = 0;      ///< what malloc has given out

  static Census now();
  /// What is here and was not `before`, in words; empty if nothing is.
  std::string beyond(const Census& before) const;
};

/// What is left of a round, in words: empty as soon as nothing is, and otherwise after some seconds. Reaps orphans of
/// tasks that have ended.
std::string left_since(const Census& before);

}  // namespace retinue_chaos
