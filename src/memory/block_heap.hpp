// The allocator of one process in its arena of the region.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "address_space.hpp"
#include "cold_block.hpp"
#include "memory_rules.hpp"
#include "shared_file.hpp"

namespace retinue::detail {

/// Hands out blocks of one arena of the region. All bookkeeping is in private memory, so that nothing a
/// worker scribbles over can mislead another process, and a killed process takes its bookkeeping with
/// it: whoever owns the arena then treats it as empty but for the blocks it knows to be in use.
///
/// Memory is reserved before a block is handed out; freed memory stays reserved (warm) for the next
/// block, or until `trim`. Small blocks (up to 64 KiB) come in size classes and are never merged.
/// Not thread-safe: each user has a lock around it.
class BlockHeap {
 public:
  /// Alignment of every block, in bytes.
  static constexpr std::uint64_t kAlignment = 64;

  /// `rules` are for the file as a whole; null: none.
  BlockHeap(const SharedFile& file, Extent arena, const MemoryRules* rules = nullptr);

  /// A block of at least `bytes`. Throws ResourceExhausted when the arena or the machine's memory is
  /// used up or its limit reached, or bad_alloc.
  std::uint64_t allocate(std::uint64_t bytes);
  /// The same for one that is written before anything else: where there is no warm memory for it, `cold` makes it while it is
  /// written. Else `cold` is done.
  std::uint64_t allocate_for_writing(std::uint64_t bytes, ColdBlock& cold);
  /// Frees a block of `bytes` as asked for at its allocation.
  void free(std::uint64_t offset, std::uint64_t bytes);
  /// Frees one whose memory was not all made.
  void abandon(std::uint64_t offset, std::uint64_t bytes);
  /// Gives warm memory that no block uses back to the system, but for `keep` bytes of it.
  void trim(std::uint64_t keep = 0);

  std::uint64_t bytes_in_use() const noexcept { return in_use_; }
  /// Reserved but not in use: what `trim` would return to the system.
  std::uint64_t bytes_warm() const noexcept { return warm_.free_bytes() + unmapped_.free_bytes(); }
  const Extent& arena() const noexcept { return arena_; }
  /// Whether a freed block of `bytes` is warm memory, which `trim` returns, rather than one of the small ones.
  static bool is_kept_warm(std::uint64_t bytes) noexcept { return bytes > kLargestSmall; }
  /// What a block of `bytes` takes in the region.
  static std::uint64_t footprint(std::uint64_t bytes) noexcept;

 private:
  static constexpr std::uint64_t kSmallest = 256;
  static constexpr std::uint64_t kLargestSmall = 64 * 1024;
  static constexpr std::uint64_t kChunk = 256 * 1024;  // what small blocks are cut from
  static constexpr unsigned kClasses = 33;             // 4 to a doubling, from 256 B to 64 KiB
  static unsigned class_of(std::uint64_t bytes) noexcept;
  static std::uint64_t class_size(unsigned index) noexcept;

  Extent take_warm(std::uint64_t length);
  Extent take_large(std::uint64_t length);
  Extent take_cold(std::uint64_t length);
  Extent reserve_cold(std::uint64_t length);
  template <class Use>
  Extent with_cold(std::uint64_t length, Use&& use);
  void trim(AddressSpace& space, std::uint64_t keep);

  static const MemoryRules& no_rules() noexcept;

  const SharedFile& file_;
  const MemoryRules& rules_;
  Extent arena_;
  AddressSpace warm_;                // reserved, free
  AddressSpace unmapped_;            // likewise, written through the file: this process has not touched the pages
  AddressSpace cold_;                // not reserved
  std::set<std::uint64_t> written_;  // blocks in use that were written through the file
  std::array<std::vector<std::uint64_t>, kClasses> free_small_;
  Extent chunk_;  // what is left of the chunk that small blocks are being cut from
  std::uint64_t in_use_ = 0;
};

}  // namespace retinue::detail
