#include "reclaim.hpp"

#include <new>
#include <utility>

#include "slot_checks.hpp"

namespace retinue::detail {
namespace {

// With what the dying worker has noted.
std::unique_ptr<Death> describe(const ProcessDeath& process, const WorkerRecord& record) {
  auto death = std::make_unique<Death>();
  death->pid = process.pid;
  death->signal = process.signal;
  death->exit_code = process.exit_code;
  const int cause = record.crash_signal.load(std::memory_order_relaxed);
  if (process.signal == 0 || cause == 0) return death;
  if (cause > 0 && cause < 64) death->signal = cause;
  death->stack = record.crash_stack;
  death->note = text_of(record.crash_note);
  return death;
}

}  // namespace

// Whether the dead worker had the task in hand, or has ended it.
bool Reclaim::is_of(unsigned worker, const TaskState& task, std::uint64_t state) const noexcept {
  const PoolMemory& memory = plan_.memory;
  const std::uint64_t position = task.position.load(std::memory_order_relaxed);
  const Tag tag = SlotState::tag(state);
  if (!is_consistent(memory, state, position)) {
    // The dead may have overwritten the slots of others. What becomes of those is found out by SlotInspection.
    if (memory.worker_records[worker].current.load(std::memory_order_relaxed) != position + 1) return false;
  } else if (tag == Tag::ready || SlotState::worker(state) != worker) {
    return false;
  }
  const unsigned other = worker_at(memory, position);
  return tag == Tag::done || other == memory.workers || other == worker;
}

// If it throws bad_alloc it may be called again.
void Reclaim::from_dead_worker(const ProcessDeath& death) {
  const unsigned worker = death.worker;
  for (std::uint64_t i = 0; i <= plan_.memory.slot_mask; ++i) {
    TaskState* task = ring_.owner_of(i);
    if (task == nullptr) continue;
    Slot& slot = plan_.memory.slots[i];
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (!is_of(worker, *task, state)) continue;
    if (is_done(state, *task) && SlotState::worker(state) < plan_.memory.workers) {
      ring_.collect_slot(slot, *task, state);
      continue;
    }
    task->worker_pid = death.pid;
    // Model: reclaim
    if (task->wanted_ending == Ending::pending && (task->retries == 0 || lifecycle_.terminating()))
      task->death = describe(death, plan_.memory.worker_records[worker]);
    end_or_run_again(slot, *task, Ending::died);
  }
}

void Reclaim::end_or_run_again(Slot& slot, TaskState& task, Ending ending) {
  if (task.wanted_ending != Ending::pending) ring_.end_slot(slot, task, task.wanted_ending);
  else if (task.retries > 0 && !lifecycle_.terminating()) ring_.run_again(slot, task);
  else ring_.end_slot(slot, task, ending);
}

void Reclaim::from_broken_pool() noexcept {
  for (std::uint64_t i = 0; i <= plan_.memory.slot_mask; ++i) {
    TaskState* task = ring_.owner_of(i);
    if (task == nullptr) continue;
    Slot& slot = plan_.memory.slots[i];
    std::uint64_t state = slot.state.load(std::memory_order_acquire);
    while (SlotState::tag(state) == Tag::ready &&
           !slot.state.compare_exchange_weak(state, SlotState::with_tag(state, Tag::free))) {
    }
    if (SlotState::tag(state) != Tag::ready) keep_for_worker(*task);
    ring_.end_slot(slot, *task, task->wanted_ending != Ending::pending ? task->wanted_ending : Ending::closed);
  }
  ring_.end_backlog(Ending::closed);
}

void Reclaim::keep_for_worker(TaskState& task) noexcept {
  StillRead it{task.payload.release_owner_block(), std::move(task.kept)};
  if (it.block.offset == 0 && !it.kept) return;
  try {
    still_read_.push_back(std::move(it));
  } catch (const std::bad_alloc&) {
    (void)it.kept.release();  // lost to this process, rather than used for something else while it is read
  }
}

void Reclaim::free_still_read(bool lost) noexcept {
  for (StillRead& it : still_read_) {
    if (lost) (void)it.kept.release();  // a worker may still read it
    else if (it.block.offset != 0) plan_.region->free(it.block.offset, it.block.bytes);
  }
  still_read_.clear();
}

}  // namespace retinue::detail
