#include <retinue/shared_array.hpp>

#include <algorithm>
#include <cstring>

#include <retinue/error.hpp>

#include "cold_block.hpp"
#include "region.hpp"
#include "system/fork_watch.hpp"
#include "worker_heap.hpp"

namespace retinue::detail {

SharedMemory allocate_shared(std::uint64_t bytes) {
  bytes = std::max<std::uint64_t>(bytes, 1);
  if (WorkerHeap* heap = worker_heap()) return {heap->at(heap->allocate(bytes)), bytes, fork_generation()};
  return allocate_for_workers(bytes);
}

SharedMemory allocate_for_workers(std::uint64_t bytes) {
  Region& region = Region::of_this_process();
  return {region.at(region.allocate(bytes)), bytes, fork_generation()};
}

SharedMemory copy_for_workers(const void* data, std::uint64_t bytes) {
  Region& region = Region::of_this_process();
  ColdBlock cold(region.file());
  const std::uint64_t offset = region.allocate_for_writing(bytes, cold);
  std::byte* const to = region.at(offset);
  if (cold.is_done()) {
    std::memcpy(to, data, bytes);
  } else {
    try {
      cold.append(to, data, bytes);
      cold.finish();
    } catch (...) {
      region.abandon(offset, bytes);
      throw;
    }
  }
  return {to, bytes, fork_generation()};
}

bool is_own_shared(const void* data) noexcept {
  try {
    return Region::of_this_process().holds(data);
  } catch (const Error&) {
    return false;
  }
}

void free_shared(const SharedMemory& memory) noexcept {
  if (memory.generation != fork_generation()) return;  // the parent's
  if (memory.arena != nullptr) {
    Region& region = Region::of_this_process();
    return region.release(memory.arena, region.offset_of(memory.data), memory.bytes);
  }
  WorkerHeap* heap = worker_heap();
  if (heap != nullptr && heap->region().holds(memory.data))
    heap->free(heap->region().offset_of(memory.data), memory.bytes);
  else Region::of_this_process().free(Region::of_this_process().offset_of(memory.data), memory.bytes);
}

}  // namespace retinue::detail
