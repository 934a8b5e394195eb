#include "cold_block.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace retinue::detail {
namespace {

constexpr std::uint64_t kPage = 4096;

}  // namespace

bool ColdBlock::is_possible(const SharedFile& file, const MemoryRules& rules) noexcept {
  return rules.huge_pages_from.load(std::memory_order_relaxed) == 0 &&
         rules.limit.load(std::memory_order_relaxed) == MemoryRules::kNone && file.base() != nullptr && file.fd() >= 0;
}

void ColdBlock::begin(const MemoryRules& rules, Extent extent) {
  check_limit(rules, file_, extent.length);
  file_.check_can_reserve(extent.offset, extent.length);
  is_done_ = false;
  rules_ = &rules;
  extent_ = extent;
  made_ = extent.offset;
}

void ColdBlock::make_until(std::uint64_t end) {
  file_.reserve(made_, end - made_);
  made_ = end;
}

std::byte* ColdBlock::append(std::byte* at, const void* from, std::size_t n) {
  const auto* bytes = static_cast<const std::byte*>(from);
  const auto there = static_cast<std::size_t>(file_.base() + made_ - at);
  if (const std::size_t first = std::min(n, there); first != 0) {
    if (bytes != nullptr) std::memcpy(at, std::exchange(bytes, bytes + first), first);
    else std::memset(at, 0, first);
    n -= first;
  }
  if (const std::size_t pages = n / kPage * kPage; bytes != nullptr && pages >= kDirect) {
    file_.write(made_, bytes, pages);
    bytes += pages;
    made_ += pages;
    n -= pages;
  }
  if (n != 0) {
    std::byte* const to = file_.base() + made_;
    const std::uint64_t needed = (n + kPage - 1) / kPage * kPage;
    make_until(std::min(made_ + std::max(needed, kStep), extent_.end()));
    if (bytes != nullptr) std::memcpy(to, bytes, n);
    else std::memset(to, 0, n);
  }
  return file_.base() + made_;
}

void ColdBlock::finish() {
  if (made_ < extent_.end()) make_until(extent_.end());
  check_limit(*rules_, file_, 0);  // another process may have taken memory at the same time
  is_done_ = true;
}

}  // namespace retinue::detail
