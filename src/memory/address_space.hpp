// Which stretches of a range of addresses are free.
#pragma once

#include <cstdint>
#include <map>

namespace retinue::detail {

/// A stretch of the region: offset from its base, and length, in bytes.
struct Extent {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t end() const noexcept { return offset + length; }
  bool holds(std::uint64_t at, std::uint64_t bytes) const noexcept {
    return at >= offset && bytes <= length && at - offset <= length - bytes;
  }
};

/// Bookkeeping of free extents with merging of neighbours. Lives in private memory; not thread-safe.
class AddressSpace {
 public:
  AddressSpace() = default;
  explicit AddressSpace(Extent all) { give(all); }

  /// The first free extent of at least `length` bytes, cut to it; an extent of length 0 if there is none.
  Extent take_first(std::uint64_t length);
  /// The smallest free extent that is large enough, cut to `length`; length 0 if there is none.
  Extent take_best(std::uint64_t length);
  /// The end of the last free extent, `length` bytes of it at most; length 0 if nothing is free.
  Extent take_last(std::uint64_t length);
  /// Returns an extent; it must not overlap a free one.
  void give(Extent extent);

  std::uint64_t free_bytes() const noexcept { return free_bytes_; }
  bool empty() const noexcept { return free_.empty(); }

 private:
  using Map = std::map<std::uint64_t, std::uint64_t>;  // offset -> length
  Extent cut(Map::iterator it, std::uint64_t length);

  Map free_;
  std::uint64_t free_bytes_ = 0;
};

}  // namespace retinue::detail
