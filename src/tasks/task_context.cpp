#include <retinue/detail/tasks/task_context.hpp>

#include <unistd.h>
#include <utility>

#include <retinue/error.hpp>
#include <retinue/shared_array.hpp>

#include "memory/cold_block.hpp"
#include "memory/worker_heap.hpp"
#include "system/fork_watch.hpp"

namespace retinue::detail {

std::byte* TaskContext::result(std::size_t bytes) {
  if (fork_generation() != generation_) _exit(0);
  result_bytes_ = bytes;
  if (bytes <= kInlineBytes) return slot_payload_;
  if (own_block_ != nullptr) return result_in_own_block(bytes);
  WorkerHeap* heap = worker_heap();
  if (heap == nullptr) throw Error("a task's result can be written in a worker only");
  result_block_ = heap->allocate(bytes);
  return heap->at(result_block_);
}

static_assert(TaskContext::kMayBeCold == ColdBlock::kWorthwhile);

Room TaskContext::large_result_room(std::size_t bytes) {
  WorkerHeap* const heap = own_block_ == nullptr ? worker_heap() : nullptr;
  if (heap == nullptr) {
    std::byte* const room = result(bytes);
    return {room, room + bytes, nullptr};
  }
  if (fork_generation() != generation_) _exit(0);
  result_bytes_ = bytes;
  return heap->allocate_for_writing(bytes, result_block_);
}

std::byte* TaskContext::result_in_own_block(std::size_t bytes) {
  *own_block_ = allocate_for_workers(bytes);
  return static_cast<std::byte*>(own_block_->data);
}

bool TaskContext::give(const SharedMemory& memory, std::size_t bytes) noexcept {
  if (own_block_ != nullptr) {
    if (memory.generation != generation_ || memory.bytes != bytes) return false;
    *own_block_ = memory;
    result_bytes_ = bytes;
    return true;
  }
  const WorkerHeap* heap = worker_heap();
  if (fork_generation() != generation_ || heap == nullptr || memory.arena != nullptr ||
      memory.generation != generation_ || memory.bytes != bytes || !heap->region().holds(memory.data))
    return false;
  result_bytes_ = bytes;
  result_block_ = heap->region().offset_of(memory.data);
  return true;
}

void TaskContext::drop_result() noexcept {
  if (own_block_ != nullptr && own_block_->data != nullptr) free_shared(std::exchange(*own_block_, {}));
  if (result_block_ != 0) worker_heap()->free(result_block_, result_bytes_);
  result_block_ = 0;
  result_bytes_ = 0;
}

}  // namespace retinue::detail
