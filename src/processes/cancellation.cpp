#include "cancellation.hpp"

#include <new>

#include "slot_checks.hpp"

namespace retinue::detail {

bool Cancellation::mark_for_kill(TaskState& task, Ending ending) {
  const PoolMemory& memory = plan_.memory;
  const std::uint64_t position = task.position.load(std::memory_order_relaxed);
  auto& word = slot_of(memory, task).state;
  std::uint64_t state = word.load(std::memory_order_acquire);
  unsigned worker = 0;
  do {
    if (!is_consistent(memory, state, position)) {  // overwritten: its worker is the one that says it runs it
      worker = worker_at(memory, position);
      if (worker < workers_.size()) break;
      return false;
    }
    if (SlotState::tag(state) != Tag::running || is_elsewhere(ring_, SlotState::worker(state), position)) return false;
    worker = SlotState::worker(state);
    // Model: mark_for_kill
  } while (
      !word.compare_exchange_weak(state, SlotState::with_tag(state, Tag::marked_for_kill), std::memory_order_acq_rel));
  task.wanted_ending = ending;
  task.worker_pid = workers_.pid_of(worker);
  workers_.ask_to_kill(worker);
  plan_.ring_server();
  plan_.ring_service();  // it looks after a fork server that does not do it
  return true;
}

Cancellation::Answer Cancellation::cancel(TaskState& task, bool force) {
  for (;;) {
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete): the caller keeps a reference
    if (ring_.collect_if_done(task)) return task.cancelled() ? Answer::cancelled_or_will_be : Answer::no;
    const std::uint64_t position = task.position.load(std::memory_order_relaxed);
    if (position == TaskState::kNowhere) {
      if (task.owned_by_map) {  // which may be gone when its place in the backlog is passed over
        task.add_ref();
        task.owned_by_map = false;
      }
      open_.end(task, Ending::cancelled);
      return Answer::cancelled_now;
    }
    Slot& slot = slot_of(plan_.memory, task);
    if (ring_.take_unclaimed(slot, task)) return Answer::cancelled_now;
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (SlotState::tag(state) == Tag::marked_for_kill)
      return task.wanted_ending == Ending::cancelled ? Answer::cancelled_or_will_be : Answer::no;
    const bool overwritten =
        !is_consistent(plan_.memory, state, position) || is_elsewhere(ring_, SlotState::worker(state), position);
    if (!overwritten && SlotState::tag(state) != Tag::running) continue;
    if (!force) return Answer::no;
    if (mark_for_kill(task, Ending::cancelled)) return Answer::cancelled_or_will_be;
    if (overwritten) return Answer::no;
  }
}

void Cancellation::cancel_unstarted() {
  ring_.end_backlog(Ending::cancelled);
  for (std::uint64_t i = 0; i <= plan_.memory.slot_mask; ++i)
    if (TaskState* task = ring_.owner_of(i)) ring_.take_unclaimed(plan_.memory.slots[i], *task);
}

void Cancellation::kill_running() noexcept {
  for (std::uint64_t i = 0; i <= plan_.memory.slot_mask; ++i) {
    if (ring_.owner_of(i) == nullptr) continue;  // what the word says is of a task that was ended
    const std::uint64_t state = plan_.memory.slots[i].state.load(std::memory_order_acquire);
    if (SlotState::tag(state) == Tag::running && SlotState::worker(state) < workers_.size())
      workers_.ask_to_kill(SlotState::worker(state));
  }
}

void Cancellation::abandon(std::span<TaskState* const> tasks, const std::shared_ptr<const void>& kept,
                           bool at_once) noexcept {
  for (TaskState* task : tasks) {
    task->finished_list = nullptr;
    if (task->ended()) continue;
    task->add_ref();
    task->owned_by_map = false;
    if (task->position.load(std::memory_order_relaxed) == TaskState::kNowhere) {
      open_.end(*task, Ending::cancelled);
      continue;
    }
    // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete): the map keeps a reference
    if (ring_.take_unclaimed(slot_of(plan_.memory, *task), *task)) continue;
    if (at_once) mark_for_kill(*task, Ending::cancelled);
    if (kept) keep_until_done(*task, kept);
    if (task->kept && !ring_.request_ring(*task, SlotState::kRingService))
      plan_.ring_service();  // its memory goes when it ends
  }
}

void Cancellation::keep_until_done(TaskState& task, const std::shared_ptr<const void>& kept) noexcept {
  try {
    task.callbacks.push_back([kept] {});
  } catch (const std::bad_alloc&) {
    [[maybe_unused]] auto* const for_ever = new (std::nothrow) auto(kept);
    return;
  }
  if (!ring_.request_ring(task, SlotState::kRingService)) plan_.ring_service();
}

}  // namespace retinue::detail
