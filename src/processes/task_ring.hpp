// How tasks go into slots and results come out of them.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <utility>
#include <vector>

#include "known_workers.hpp"
#include "open_tasks.hpp"
#include "task_state.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// The owner's side of the slots: which task is in which, and what waits for one. All with the pool's mutex held, but
/// `wake_for`. In private memory; of what workers write it believes only the state word of a slot it has filled.
///
/// Invariants:
///   I1  positions below `oldest()` are free, or their slot is in `skipped_slots()`, or reused.
///   I2  a slot whose `owner_of` is null is free, and no worker touches it.
///   I3  tasks in the backlog are younger than all in slots; it is empty or slots are full.
///
/// A worker that is killed leaves its slot as it is, for Reclaim.
class TaskRing {
 public:
  TaskRing(const PoolPlan& plan, const KnownWorkers& workers, OpenTasks& open);

  /// Puts a task into a slot, or into the backlog. Keeps a reference of the caller's, unless a map owns the task.
  void enqueue(TaskState& task, const std::byte* small, std::uint64_t size);
  /// Reads what is done and refills what is free. True if tasks are left that a free worker could claim.
  bool collect();
  /// Reads one done slot.
  void collect_slot(Slot& slot, TaskState& task, std::uint64_t state);
  /// True if the task has ended.
  bool collect_if_done(TaskState& task);

  /// Asks for rings at the end of `task`. False if it is done by now (and may have to be collected).
  bool request_ring(TaskState& task, std::uint64_t ring);
  /// Asks for rings from all running tasks and from those that will be claimed first, one more than there
  /// are workers: one of them is the next to end. False if some task is done already.
  bool request_ring_of_next();
  /// Has the service thread rung when waiting tasks may find room; once until `note_refill_ring`.
  void ask_for_refill();
  void note_refill_ring() noexcept { refill_asked_ = false; }

  // Ends, other than by a result ---------------------------------------------------------------------
  /// The slot is free from here on. Its state word stays as it is, done for the most part: what makes it free
  /// is that nobody owns it, and not writing to it saves fetching the line from the worker's cache.
  void end_slot(Slot& slot, TaskState& task, Ending ending) noexcept {
    owners_[static_cast<std::size_t>(&slot - plan_.memory.slots)] = nullptr;
    --in_slots_;
    open_.end(task, ending);
    release(task);
  }
  /// The task's worker died, or it is not known whether it had one: it waits for a slot again.
  void run_again(Slot& slot, TaskState& task);
  /// Frees the slot of a task that no worker has claimed; then it has ended as cancelled. False if one has.
  bool take_unclaimed(Slot& slot, TaskState& task);
  /// Ends all that wait for a slot.
  void end_backlog(Ending ending) noexcept;
  /// Gives tasks that are ready the positions that their slots have in the next round of the ring, for workers that have gone
  /// past them; all of them, so that they stay in order. True if there were any.
  bool publish_again();

  // Questions ----------------------------------------------------------------------------------------
  const PoolMemory& memory() const noexcept { return plan_.memory; }
  TaskState* owner_of(std::uint64_t slot) const noexcept { return owners_[slot]; }
  /// The task at that position, if there still is one.
  TaskState* task_at(std::uint64_t position) const noexcept {
    TaskState* task = owners_[position & plan_.memory.slot_mask];
    return task != nullptr && task->position.load(std::memory_order_relaxed) == position ? task : nullptr;
  }
  std::uint64_t tail() const noexcept { return tail_; }      ///< next position to publish
  std::uint64_t oldest() const noexcept { return oldest_; }  ///< next position to look at for results
  struct SkippedSlot {
    std::uint64_t position;
    std::uint32_t slot;
  };
  /// Slots found running when `oldest()` went past them.
  std::span<const SkippedSlot> skipped_slots() const noexcept { return skipped_slots_; }
  std::uint64_t in_slots() const noexcept { return in_slots_; }
  bool has_backlog() const noexcept { return !backlog_.empty(); }

  // For whoever releases the mutex -------------------------------------------------------------------
  enum class Published : std::uint8_t { nothing, some, first };  ///< first: one task, and nothing was in slots before
  /// What was published since the mutex was taken, and has not been shown.
  Published published() const noexcept { return published_; }
  /// Shows it to the workers.
  Published show_published() noexcept {
    const Published published = std::exchange(published_, Published::nothing);
    // Model: show_published
    if (published != Published::nothing) plan_.memory.control->tail.store(tail_, std::memory_order_release);
    return published;
  }
  /// Wakes a worker if need be; without the mutex.
  void wake_for(Published published) const noexcept;

 private:
  void end_unrun(TaskState& task) noexcept;
  Slot* free_slot();
  void publish(Slot& slot, TaskState& task, const std::byte* small, std::uint64_t size);
  bool refill();
  static void release(TaskState& task) noexcept {
    if (!task.owned_by_map) task.release();
  }

  const PoolPlan& plan_;
  const KnownWorkers& workers_;
  OpenTasks& open_;
  std::vector<TaskState*> owners_;  // by slot; each holds a reference, unless a map owns it
  std::uint64_t tail_ = 0;
  std::uint64_t oldest_ = 0;
  std::vector<SkippedSlot> skipped_slots_;
  std::deque<TaskState*> backlog_;  // as owners_; ended ones are passed over
  std::uint64_t in_slots_ = 0;
  bool refill_asked_ = false;
  Published published_ = Published::nothing;
};

/// Whether a worker could claim the task at `position`, by what its slot says. With the pool's mutex held, as what follows.
bool is_ready_at(const TaskRing& ring, std::uint64_t position) noexcept;
/// What its record and that slot say agrees: the worker cannot be in that of `position`.
bool is_elsewhere(const TaskRing& ring, unsigned worker, std::uint64_t position) noexcept;
/// The slot and the worker agree that it runs the task at `position`.
bool runs(const TaskRing& ring, unsigned worker, std::uint64_t position) noexcept;

}  // namespace retinue::detail
