#include "patterns/records.hpp"

#include <algorithm>
#include <cstring>

namespace retinue::python {
namespace {

constexpr std::uint32_t kMark = 1u << 31;
constexpr std::uint32_t kLong = kMark - 1;  // the length follows, as 64 bits

}  // namespace

std::byte* Records::reserve(std::size_t bytes, bool marked) {
  const bool is_long = bytes >= kLong;
  const std::size_t all = kHead + (is_long ? sizeof(std::uint64_t) : 0) + bytes;
  if (chunks_.empty() || chunks_.back().size - chunks_.back().end < all) {
    if (!chunks_.empty() && chunks_.back().end == 0) chunks_.pop_back();  // all of it was popped
    const std::size_t usual = chunks_.empty() ? kFirstChunk : std::min(kChunk, 2 * chunks_.back().size);
    const std::size_t size = std::max(usual, all);
    chunks_.push_back({std::unique_ptr<std::byte[]>(new std::byte[size]), size, 0});
  }
  Chunk& chunk = chunks_.back();
  std::byte* at = chunk.data.get() + chunk.end;
  const std::uint32_t head = (is_long ? kLong : static_cast<std::uint32_t>(bytes)) | (marked ? kMark : 0);
  std::memcpy(at, &head, sizeof head);
  at += sizeof head;
  if (is_long) {
    const std::uint64_t length = bytes;
    std::memcpy(at, &length, sizeof length);
    at += sizeof length;
  }
  chunk.end += all;
  bytes_ += all;
  return at;
}

Records::Head Records::read_head(const std::byte* at) noexcept {
  std::uint32_t head = 0;
  std::memcpy(&head, at, sizeof head);
  std::uint64_t size = head & ~kMark;
  if (size != kLong) return {sizeof head, size, (head & kMark) != 0};
  std::memcpy(&size, at + sizeof head, sizeof size);
  return {sizeof head + sizeof size, size, (head & kMark) != 0};
}

Records::Record Records::front() const noexcept {
  const std::byte* at = chunks_.front().data.get() + begin_;
  const Head head = read_head(at);
  return {{at + head.head, head.size}, head.marked};
}

void Records::pop() noexcept {
  const Head head = read_head(chunks_.front().data.get() + begin_);
  begin_ += head.head + head.size;
  bytes_ -= head.head + head.size;
  --count_;
  if (begin_ < chunks_.front().end) return;
  begin_ = 0;
  if (chunks_.size() > 1) chunks_.pop_front();
  else chunks_.front().end = 0;
}

void Records::clear() noexcept {
  chunks_.clear();
  begin_ = count_ = bytes_ = 0;
}

}  // namespace retinue::python
