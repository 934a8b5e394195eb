#include <retinue/detail/tasks/staged_payload.hpp>

#include <cstring>
#include <utility>

#include "memory/cold_block.hpp"
#include "memory/region.hpp"

namespace retinue::detail {

std::byte* StagedPayload::prepare_block() {
  Region& region = Region::of_this_process();
  block_ = region.allocate(size_);
  return region.at(block_);
}

Room StagedPayload::block_room() {
  if (size_ < ColdBlock::kWorthwhile) {
    std::byte* const room = prepare_block();
    return {room, room + size_, nullptr};
  }
  Region& region = Region::of_this_process();
  cold_ = new ColdBlock(region.file());
  block_ = region.allocate_for_writing(size_, *cold_);
  std::byte* const room = region.at(block_);
  if (cold_->is_done()) return {room, room + size_, nullptr};
  return {room, room, cold_};
}

void StagedPayload::drop_block() noexcept {
  if (block_ != 0) {
    Region& region = Region::of_this_process();
    if (cold_ != nullptr && !cold_->is_done()) region.abandon(block_, size_);
    else region.free(block_, size_);
  }
  delete cold_;
}

std::span<const std::byte> StagedPayload::bytes() const noexcept {
  return {block_ != 0 ? Region::of_this_process().at(block_) : small_, size_};
}

void StagedPayload::take(StagedPayload& from) noexcept {
  size_ = std::exchange(from.size_, 0);
  block_ = std::exchange(from.block_, 0);
  cold_ = std::exchange(from.cold_, nullptr);
  if (block_ == 0 && size_ != 0) std::memcpy(small_, from.small_, size_);
}

}  // namespace retinue::detail
