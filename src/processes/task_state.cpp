#include "task_state.hpp"

#include <utility>

#include "system/fork_watch.hpp"

namespace retinue::detail {

std::span<const std::byte> Payload::bytes_elsewhere() const noexcept {
  switch (place_) {
    case Place::none: return {};
    case Place::small: return {small_, size_};
    case Place::heap: return {heap_, size_};
    default: return {at_.region->at(at_.block), size_};
  }
}

void Payload::copy_large(const std::byte* from, std::uint64_t size) {
  std::byte* heap = new std::byte[size];
  clear();
  size_ = size;
  heap_ = heap;
  place_ = Place::heap;
  std::memcpy(heap, from, size);
}

void Payload::take_owner_block(Region& region, std::uint64_t block, std::uint64_t size) noexcept {
  clear();
  place_ = Place::owner_block;
  size_ = size;
  at_ = {block, &region, nullptr};
}

void Payload::adopt(Region& region, Arena* arena, std::uint64_t block, std::uint64_t size) {
  region.adopt(arena, block, size);
  clear();
  place_ = Place::result_block;
  size_ = size;
  at_ = {block, &region, arena};
}

void Payload::free() noexcept {
  switch (place_) {
    case Place::heap: delete[] heap_; break;
    case Place::owner_block: at_.region->free(at_.block, size_); break;
    case Place::result_block: at_.region->release(at_.arena, at_.block, size_); break;
    default: break;
  }
}

Payload::OwnerBlock Payload::release_owner_block() noexcept {
  if (place_ != Place::owner_block) return {};
  place_ = Place::none;
  return {at_.block, std::exchange(size_, 0)};
}

SharedMemory Payload::release_result_block() noexcept {
  if (place_ != Place::result_block) return {};
  const SharedMemory memory{at_.region->at(at_.block), size_, fork_generation(), at_.arena};
  place_ = Place::none;
  size_ = 0;
  return memory;
}

}  // namespace retinue::detail
