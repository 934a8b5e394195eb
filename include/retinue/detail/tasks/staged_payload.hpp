// Encoded arguments before they belong to a task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <retinue/detail/codec/room.hpp>
#include <retinue/detail/tasks/task_context.hpp>

namespace retinue::detail {

class ColdBlock;

/// Encoded arguments on their way into a task: a small buffer here, or a block of the region.
class StagedPayload {
 public:
  StagedPayload() = default;
  StagedPayload(const StagedPayload&) = delete;
  StagedPayload& operator=(const StagedPayload&) = delete;
  ~StagedPayload() {
    if (block_ != 0 || cold_ != nullptr) drop_block();
  }

  /// Room for `bytes`, aligned to 32. Called once. Throws ResourceExhausted or bad_alloc.
  std::byte* prepare(std::size_t bytes) {
    size_ = bytes;
    return bytes <= TaskContext::kInlineBytes ? small_ : prepare_block();
  }
  /// The same, where the memory of a large payload may still have to be made while it is written.
  Room room(std::size_t bytes) {
    size_ = bytes;
    if (bytes > TaskContext::kInlineBytes) return block_room();
    return {small_, small_ + bytes, nullptr};
  }
  std::size_t size() const noexcept { return size_; }
  const std::byte* small() const noexcept { return small_; }
  std::uint64_t block() const noexcept { return block_; }
  /// The block now belongs to the task.
  void release_block() noexcept { block_ = 0; }

  /// What was written, wherever it lies.
  std::span<const std::byte> bytes() const noexcept;
  /// Takes over what `from` holds, which then is empty. This one must be empty.
  void take(StagedPayload& from) noexcept;

 private:
  std::byte* prepare_block();
  Room block_room();
  void drop_block() noexcept;

  alignas(32) std::byte small_[TaskContext::kInlineBytes];
  std::size_t size_ = 0;
  std::uint64_t block_ = 0;
  ColdBlock* cold_ = nullptr;  // what makes its memory, if that is not done yet; owned
};

}  // namespace retinue::detail
