#include <retinue/detail/tasks/staged_payload.hpp>

#include <cstring>
#include <utility>

#include "memory/region.hpp"

namespace retinue::detail {

std::byte* StagedPayload::prepare_block() {
  Region& region = Region::of_this_process();
  block_ = region.allocate(size_);
  return region.at(block_);
}

void StagedPayload::drop_block() noexcept { Region::of_this_process().free(block_, size_); }

std::span<const std::byte> StagedPayload::bytes() const noexcept {
  return {block_ != 0 ? Region::of_this_process().at(block_) : small_, size_};
}

void StagedPayload::take(StagedPayload& from) noexcept {
  size_ = std::exchange(from.size_, 0);
  block_ = std::exchange(from.block_, 0);
  if (block_ == 0 && size_ != 0) std::memcpy(small_, from.small_, size_);
}

}  // namespace retinue::detail
