// What the words of shared memory say of a task, without the ring.
#pragma once

#include "control.hpp"
#include "task_state.hpp"

namespace retinue::detail {

/// Of a task that has a position.
inline Slot& slot_of(const PoolMemory& memory, const TaskState& task) noexcept {
  return memory.slot(task.position.load(std::memory_order_relaxed));
}

inline bool is_done(std::uint64_t state, const TaskState& task) noexcept {
  return SlotState::tag(state) == Tag::done && SlotState::is_at(state, task.position.load(std::memory_order_relaxed));
}

/// Whether a slot's state can be that of the task at `position`, or was overwritten.
inline bool is_consistent(const PoolMemory& memory, std::uint64_t state, std::uint64_t position) noexcept {
  const Tag tag = SlotState::tag(state);
  if (!SlotState::is_at(state, position)) return false;
  if (tag == Tag::ready) return SlotState::worker(state) == 0;
  return (tag == Tag::running || tag == Tag::marked_for_kill || tag == Tag::done) &&
         SlotState::worker(state) < memory.workers;
}

/// The worker that says it is at `position`, or `memory.workers` if none does.
inline unsigned worker_at(const PoolMemory& memory, std::uint64_t position) noexcept {
  unsigned worker = 0;
  while (worker < memory.workers &&
         memory.worker_records[worker].current.load(std::memory_order_acquire) != position + 1)
    ++worker;
  return worker;
}

}  // namespace retinue::detail
