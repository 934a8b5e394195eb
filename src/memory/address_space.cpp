#include "address_space.hpp"

#include <iterator>

namespace retinue::detail {

Extent AddressSpace::cut(Map::iterator it, std::uint64_t length) {
  const Extent taken{it->first, length};
  const std::uint64_t rest = it->second - length;
  if (rest != 0) {
    auto node = free_.extract(it);  // the node is used again: this path never fails for want of memory
    node.key() = taken.end();
    node.mapped() = rest;
    free_.insert(std::move(node));
  } else {
    free_.erase(it);
  }
  free_bytes_ -= length;
  return taken;
}

Extent AddressSpace::take_first(std::uint64_t length) {
  for (auto it = free_.begin(); it != free_.end(); ++it)
    if (it->second >= length) return cut(it, length);
  return {};
}

Extent AddressSpace::take_best(std::uint64_t length) {
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it)
    if (it->second >= length && (best == free_.end() || it->second < best->second)) best = it;
  return best == free_.end() ? Extent{} : cut(best, length);
}

Extent AddressSpace::take_last(std::uint64_t length) {
  if (free_.empty()) return {};
  const auto last = std::prev(free_.end());
  if (last->second <= length) return cut(last, last->second);
  last->second -= length;
  free_bytes_ -= length;
  return {last->first + last->second, length};
}

void AddressSpace::give(Extent extent) {
  if (extent.length == 0) return;
  free_bytes_ += extent.length;
  auto after = free_.lower_bound(extent.offset);
  if (after != free_.begin()) {
    auto before = std::prev(after);
    if (before->first + before->second == extent.offset) {
      before->second += extent.length;
      if (after != free_.end() && after->first == before->first + before->second) {
        before->second += after->second;
        free_.erase(after);
      }
      return;
    }
  }
  if (after != free_.end() && extent.end() == after->first) {
    auto node = free_.extract(after);
    node.key() = extent.offset;
    node.mapped() += extent.length;
    free_.insert(std::move(node));
    return;
  }
  free_.emplace_hint(after, extent.offset, extent.length);
}

}  // namespace retinue::detail
