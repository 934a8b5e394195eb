#include "block_heap.hpp"

#include <algorithm>
#include <bit>
#include <new>
#include <string>

#include <retinue/error.hpp>

namespace retinue::detail {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kLargeStep = 64 * 1024;

constexpr std::uint64_t round_up(std::uint64_t n, std::uint64_t to) noexcept { return (n + to - 1) / to * to; }

}  // namespace

const MemoryRules& BlockHeap::no_rules() noexcept {
  static const MemoryRules none;
  return none;
}

BlockHeap::BlockHeap(const SharedFile& file, Extent arena, const MemoryRules* rules)
    : file_(file), rules_(rules != nullptr ? *rules : no_rules()), arena_(arena), cold_(arena) {}

unsigned BlockHeap::class_of(std::uint64_t bytes) noexcept {
  if (bytes <= kSmallest) return 0;
  const unsigned doubling = static_cast<unsigned>(std::bit_width(bytes - 1)) - 1;  // 2^doubling < bytes
  const std::uint64_t quarter = std::uint64_t{1} << (doubling - 2);
  const auto fourth = static_cast<unsigned>((bytes - 1 - (std::uint64_t{1} << doubling)) / quarter);
  return (doubling - 8) * 4 + fourth + 1;
}

std::uint64_t BlockHeap::class_size(unsigned index) noexcept {
  if (index == 0) return kSmallest;
  const unsigned doubling = (index - 1) / 4 + 8, fourth = (index - 1) % 4;
  return (std::uint64_t{1} << doubling) + (fourth + 1) * (std::uint64_t{1} << (doubling - 2));
}

std::uint64_t BlockHeap::footprint(std::uint64_t bytes) noexcept {
  return bytes <= kLargestSmall ? class_size(class_of(bytes)) : round_up(bytes, kLargeStep);
}

Extent BlockHeap::take_warm(std::uint64_t length) {
  Extent extent = warm_.take_best(length);
  if (extent.length != 0) return extent;
  extent = unmapped_.take_best(length);
  if (extent.length != 0) file_.touch(extent.offset, extent.length);
  return extent;
}

Extent BlockHeap::take_large(std::uint64_t length) {
  const Extent extent = take_warm(length);
  return extent.length != 0 ? extent : reserve_cold(length);
}

Extent BlockHeap::take_cold(std::uint64_t length) {
  const Extent extent = cold_.take_first(length);
  if (extent.length == 0)
    throw ResourceExhausted("this process's arena of the shared region is used up (" + std::to_string(in_use_) +
                                " of " + std::to_string(arena_.length) + " bytes in use, " + std::to_string(length) +
                                " asked for)",
                            0);
  return extent;
}

// `use` gets addresses without memory. What is warm but in too small pieces takes addresses and memory as well.
template <class Use>
Extent BlockHeap::with_cold(std::uint64_t length, Use&& use) {
  const auto attempt = [&] {
    const Extent extent = take_cold(length);
    try {
      use(extent);
    } catch (...) {
      cold_.give(extent);
      throw;
    }
    return extent;
  };
  if (bytes_warm() == 0) return attempt();
  try {
    return attempt();
  } catch (const ResourceExhausted&) {
    trim();
    return attempt();
  }
}

Extent BlockHeap::reserve_cold(std::uint64_t length) {
  return with_cold(length, [this](Extent extent) { reserve_within(rules_, file_, extent); });
}

std::uint64_t BlockHeap::allocate_for_writing(std::uint64_t bytes, ColdBlock& cold) {
  const std::uint64_t size = footprint(bytes);
  if (bytes < ColdBlock::kWorthwhile || bytes > arena_.length || !ColdBlock::is_possible(file_, rules_))
    return allocate(bytes);
  Extent extent = take_warm(size);
  if (extent.length == 0) {
    extent = with_cold(size, [&](Extent memory) {
      cold.begin(rules_, memory);
      written_.insert(memory.offset);
    });
  }
  in_use_ += size;
  return extent.offset;
}

std::uint64_t BlockHeap::allocate(std::uint64_t bytes) {
  if (bytes > arena_.length)
    throw ResourceExhausted("a block of " + std::to_string(bytes) + " bytes does not fit this process's arena of " +
                                "the shared region (" + std::to_string(arena_.length) + " bytes)",
                            0);
  const std::uint64_t size = footprint(bytes);
  if (bytes > kLargestSmall) {
    const Extent extent = take_large(size);
    in_use_ += size;
    return extent.offset;
  }
  auto& free_list = free_small_[class_of(bytes)];
  if (!free_list.empty()) {
    const std::uint64_t offset = free_list.back();
    free_list.pop_back();
    in_use_ += size;
    return offset;
  }
  if (chunk_.length < size) chunk_ = take_large(kChunk);  // what was left of the old one is given up
  const std::uint64_t offset = chunk_.offset;
  chunk_.offset += size;
  chunk_.length -= size;
  in_use_ += size;
  return offset;
}

void BlockHeap::free(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t size = footprint(bytes);
  in_use_ -= std::min(size, in_use_);
  if (bytes <= kLargestSmall) return free_small_[class_of(bytes)].push_back(offset);
  (written_.erase(offset) != 0 ? unmapped_ : warm_).give({offset, size});
}

void BlockHeap::abandon(std::uint64_t offset, std::uint64_t bytes) {
  const std::uint64_t size = footprint(bytes);
  in_use_ -= std::min(size, in_use_);
  written_.erase(offset);
  file_.punch_hole(offset, size);  // these addresses are not used again if it is refused
  cold_.give({offset, size});
}

void BlockHeap::trim(std::uint64_t keep) {
  trim(unmapped_, keep - std::min(keep, warm_.free_bytes()));
  trim(warm_, keep - std::min(keep, unmapped_.free_bytes()));
}

void BlockHeap::trim(AddressSpace& space, std::uint64_t keep) {
  AddressSpace refused;  // what the system did not take
  while (space.free_bytes() + refused.free_bytes() > keep) {
    const Extent extent = space.take_last(round_up(space.free_bytes() + refused.free_bytes() - keep, kLargeStep));
    if (extent.length == 0) break;
    const std::uint64_t begin = round_up(extent.offset, kPage);
    const std::uint64_t end = extent.end() / kPage * kPage;
    try {
      if (begin < end) file_.punch_hole(begin, end - begin);
      cold_.give(extent);
    } catch (const Error&) {
      refused.give(extent);
    }
  }
  while (!refused.empty()) space.give(refused.take_last(refused.free_bytes()));
}

}  // namespace retinue::detail
