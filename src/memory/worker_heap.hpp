// A worker's memory for large results.
#pragma once

#include <mutex>
#include <optional>

#include "memory/block_heap.hpp"
#include "memory/region.hpp"

namespace retinue::detail {

/// The block heap of a worker in its arena of its owner's region, and the way back for its blocks.
/// Thread-safe within the worker. If the worker is killed the owner takes the arena over as it is.
class WorkerHeap {
 public:
  WorkerHeap(const Region& region, Extent arena, ReturnStack& returned)
      : region_(region),
        returned_(returned),
        heap_(region.file(), arena, &region.rules()),
        recalls_seen_(region.rules().recalls.load(std::memory_order_relaxed)) {}

  /// Throws ResourceExhausted or bad_alloc.
  std::uint64_t allocate(std::uint64_t bytes);
  /// A block that is written at once; while it is, no other of these is allocated. Its offset goes to `block` before anything
  /// can fail that `free` would have to undo.
  Room allocate_for_writing(std::uint64_t bytes, std::uint64_t& block);
  void free(std::uint64_t offset, std::uint64_t bytes) noexcept;
  /// Takes what the owner returned and returns memory nobody uses to the system, but for what an idle worker may keep.
  void trim() noexcept;
  /// Returns all of it if the owner wants it back, or did since the last time.
  void return_recalled() noexcept;
  bool has_warm_memory() const noexcept { return heap_.bytes_warm() > 0 || returned_.top.load() != 0; }
  std::byte* at(std::uint64_t offset) const noexcept { return region_.at(offset); }
  const Region& region() const noexcept { return region_; }

 private:
  void take_returned();
  void look_for_returned();
  void trim_to(std::uint64_t keep) noexcept;
  bool is_recalled() noexcept;

  const Region& region_;
  ReturnStack& returned_;
  std::mutex mutex_;
  BlockHeap heap_;
  std::optional<ColdBlock> cold_;  // what makes the memory of the block at cold_offset_
  std::uint64_t cold_offset_ = 0;
  std::uint64_t recalls_seen_ = 0;
  bool came_back_ = false;  // large blocks, since all was returned last: the owner knows that some may be kept here
};

/// That of this process, if it is a worker; null elsewhere, also in what a worker forks.
WorkerHeap* worker_heap() noexcept;
/// Makes `heap` that of this process, or with null says that it has none.
void set_worker_heap(WorkerHeap* heap) noexcept;

}  // namespace retinue::detail
