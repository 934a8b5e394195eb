// A large block whose memory is made by writing to it.
#pragma once

#include <cstddef>
#include <cstdint>

#include <retinue/detail/codec/room.hpp>

#include "address_space.hpp"
#include "memory_rules.hpp"
#include "shared_file.hpp"

namespace retinue::detail {

/// Memory that was never used costs twice where it is reserved first: the kernel zeroes the pages, and each is faulted in
/// before it is overwritten. Writing to the file makes and fills the pages in one go, in about half the time. So large pieces
/// are written to the file, from page to page; what lies between them is reserved and then written through the mapping, and
/// so nobody gets SIGBUS. A block that is not done must be given back by BlockHeap::abandon.
///
/// For one thread; the file must outlive it.
class ColdBlock final : public MemoryMaker {
 public:
  /// Below this many bytes it does not pay.
  static constexpr std::uint64_t kWorthwhile = std::uint64_t{512} << 10;

  explicit ColdBlock(const SharedFile& file) noexcept : file_(file) {}

  /// Whether it may be made so: not if the file can only be reached through its mapping, or huge pages are wanted, or there is
  /// a limit, under which memory is taken before it is written, so that of two who come at once one gets it.
  static bool is_possible(const SharedFile& file, const MemoryRules& rules) noexcept;

  /// The block is `extent`, of whole pages, none of which is reserved. Throws ResourceExhausted, and takes nothing, if the
  /// memory cannot be had or would go beyond the limit.
  void begin(const MemoryRules& rules, Extent extent);
  /// Whether there is nothing to make, or all was made.
  bool is_done() const noexcept { return is_done_; }

  std::byte* append(std::byte* at, const void* from, std::size_t n) override;
  void finish() override;

 private:
  static constexpr std::uint64_t kDirect = std::uint64_t{256} << 10;  // pieces from here on go straight to the file
  static constexpr std::uint64_t kStep = std::uint64_t{64} << 10;     // what is reserved at once for smaller ones

  void make_until(std::uint64_t end);

  const SharedFile& file_;
  const MemoryRules* rules_ = nullptr;
  bool is_done_ = true;
  Extent extent_;
  std::uint64_t made_ = 0;  // the block's memory is there up to this offset in the region; a page's end
};

}  // namespace retinue::detail
