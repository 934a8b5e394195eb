#include "worker_heap.hpp"

#include <cstdint>
#include <new>
#include <utility>

#include "system/fork_watch.hpp"

namespace retinue::detail {
namespace {

WorkerHeap* heap_of_worker = nullptr;
std::uint64_t worker_generation = 0;

}  // namespace

WorkerHeap* worker_heap() noexcept { return worker_generation == fork_generation() ? heap_of_worker : nullptr; }

void set_worker_heap(WorkerHeap* heap) noexcept {
  heap_of_worker = heap;
  worker_generation = fork_generation();
}

void WorkerHeap::take_returned() {
  std::uint64_t offset = returned_.top.exchange(0, std::memory_order_acquire);
  // More than fit the arena are none: a task that has overwritten them could have made a circle.
  std::uint64_t most = heap_.arena().length / BlockHeap::kAlignment;
  while (offset != 0 && most-- != 0 && heap_.arena().holds(offset, BlockHeap::kAlignment)) {
    auto* link = reinterpret_cast<std::uint64_t*>(region_.at(offset));
    const std::uint64_t next = link[0], bytes = link[1];
    // Overwritten, or not a block that came back: the rest stays unused until this worker ends.
    if (link[2] != check_of(offset, next, bytes) || !heap_.arena().holds(offset, bytes)) break;
    link[2] = 0;  // it is taken once
    heap_.free(offset, bytes);
    if (BlockHeap::is_kept_warm(bytes)) came_back_ = true;
    offset = next;
  }
}

void WorkerHeap::look_for_returned() {
  take_returned();
  if (is_recalled()) [[unlikely]]
    trim_to(0);
}

std::uint64_t WorkerHeap::allocate(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  look_for_returned();
  return heap_.allocate(bytes);
}

Room WorkerHeap::allocate_for_writing(std::uint64_t bytes, std::uint64_t& block) {
  const std::lock_guard lock(mutex_);
  look_for_returned();
  cold_.emplace(region_.file());
  cold_offset_ = 0;
  block = cold_offset_ = heap_.allocate_for_writing(bytes, *cold_);
  std::byte* const room = at(block);
  if (cold_->is_done()) return {room, room + bytes, nullptr};
  return {room, room, &*cold_};
}

void WorkerHeap::free(std::uint64_t offset, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    if (cold_ && offset == cold_offset_ && !cold_->is_done()) {
      cold_.reset();  // another block may come to lie there
      heap_.abandon(offset, bytes);
    } else {
      heap_.free(offset, bytes);
    }
  } catch (const std::exception&) {
    // Unused until this worker ends.
  }
}

void WorkerHeap::trim() noexcept {
  const std::lock_guard lock(mutex_);
  trim_to(is_recalled() ? 0 : region_.rules().kept_by_worker.load(std::memory_order_relaxed));
}

void WorkerHeap::return_recalled() noexcept {
  const std::lock_guard lock(mutex_);
  if (is_recalled()) trim_to(0);
}

bool WorkerHeap::is_recalled() noexcept {
  const std::uint64_t recalls = region_.rules().recalls.load(std::memory_order_relaxed);
  return std::exchange(recalls_seen_, recalls) != recalls;
}

void WorkerHeap::trim_to(std::uint64_t keep) noexcept {
  try {
    take_returned();
    if (keep == 0) came_back_ = false;
    heap_.trim(came_back_ ? keep : 0);
  } catch (const std::exception&) {
    // Tried again after the next idle period.
  }
}

}  // namespace retinue::detail
