#include "worker_heap.hpp"

#include <new>
#include <unistd.h>

#include <retinue/detail/pool/task_context.hpp>
#include <retinue/error.hpp>
#include <retinue/shared_array.hpp>

#include "system/fork_watch.hpp"
#include "worker.hpp"

namespace retinue::detail {

void WorkerHeap::take_returned() {
  std::uint64_t offset = returned_.top.exchange(0, std::memory_order_acquire);
  // More than fit the part are none: a task that has overwritten them could have made a circle.
  std::uint64_t most = heap_.part().length / BlockHeap::kAlignment;
  while (offset != 0 && most-- != 0 && heap_.part().holds(offset, BlockHeap::kAlignment)) {
    auto* link = reinterpret_cast<std::uint64_t*>(region_.at(offset));
    const std::uint64_t next = link[0], bytes = link[1];
    // Overwritten, or not a block that came back: the rest stays unused until this worker ends.
    if (link[2] != check_of(offset, next, bytes) || !heap_.part().holds(offset, bytes)) break;
    link[2] = 0;  // it is taken once
    heap_.free(offset, bytes);
    offset = next;
  }
}

std::uint64_t WorkerHeap::allocate(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  take_returned();
  return heap_.allocate(bytes);
}

void WorkerHeap::free(std::uint64_t offset, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  try {
    heap_.free(offset, bytes);
  } catch (const std::bad_alloc&) {
    // Unused until this worker ends.
  }
}

void WorkerHeap::trim() noexcept {
  const std::lock_guard lock(mutex_);
  try {
    take_returned();
    heap_.trim();
  } catch (const std::exception&) {
    // Tried again after the next quiet while.
  }
}

std::byte* TaskContext::result(std::size_t bytes) {
  if (fork_generation() != generation_) _exit(0);
  result_bytes_ = bytes;
  if (bytes <= kInlineBytes) return slot_payload_;
  WorkerHeap* heap = worker_heap();
  if (heap == nullptr) throw Error("a task's result can be written in a worker only");
  result_block_ = heap->allocate(bytes);
  return heap->at(result_block_);
}

bool TaskContext::give(const SharedMemory& memory, std::size_t bytes) noexcept {
  const WorkerHeap* heap = worker_heap();
  if (fork_generation() != generation_ || heap == nullptr || memory.part != nullptr ||
      memory.generation != generation_ || memory.bytes != bytes || !heap->region().holds(memory.data))
    return false;
  result_bytes_ = bytes;
  result_block_ = heap->region().offset_of(memory.data);
  return true;
}

void TaskContext::drop_result() noexcept {
  if (result_block_ != 0) worker_heap()->free(result_block_, result_bytes_);
  result_block_ = 0;
  result_bytes_ = 0;
}

}  // namespace retinue::detail
