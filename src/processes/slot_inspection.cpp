// Looks at slots. A task whose slot was overwritten ends, or runs again, once it is certain that no worker has it in hand;
// one that is ready and that all workers have gone past is published again.
//
// | the slot says                             | and                                      | then                              |
// | ----------------------------------------- | ---------------------------------------- | --------------------------------- |
// | what cannot be, or another worker         | a worker says that it runs the task      | the slot says so again            |
// | what cannot be, running, marked for kill  | no worker can have it                    | MemoryOverwritten, or a retry     |
// | what cannot be                            | one that does not move might, for five s | that one is killed, then as above |
// | running, its worker has another `current` | it might be true                         | left alone, up to its timeout     |
// | marked for kill                           | the owner did not mark it                | running                           |
// | ready                                     | a worker ran out of work meanwhile       | ready, a round further on         |
//
// No worker can have it: each is dead, has ended a task or run out of work since the slot was first found so, or runs
// another, as its record and that slot agree. All this takes two looks at least. What a worker may change meanwhile is
// changed by compare-and-swap only.
#include "slot_inspection.hpp"

#include <algorithm>

#include "slot_checks.hpp"

namespace retinue::detail {

std::uint64_t SlotInspection::turns_of(unsigned worker) const noexcept {
  const WorkerRecord& record = plan_.memory.worker_records[worker];
  return record.finished.load(std::memory_order_acquire) + record.rests.load(std::memory_order_acquire) +
         (static_cast<std::uint64_t>(workers_[worker].pid) << 40);
}

bool SlotInspection::may_be_in(unsigned worker, const Suspect& suspect) const noexcept {
  const WorkerRecord& record = plan_.memory.worker_records[worker];
  const KnownWorker& known = workers_[worker];
  if (known.arena == nullptr || turns_of(worker) != suspect.turns[worker]) return false;
  const bool takes_tasks = known.seen_ready || record.ready.load(std::memory_order_acquire) != 0;
  if (!takes_tasks || record.retiring.load(std::memory_order_acquire) == 1) return false;
  return !is_elsewhere(ring_, worker, suspect.position);
}

// What the ring went past was not ready any more, and never is again.
bool SlotInspection::can_be(std::uint64_t state, std::uint64_t position) const noexcept {
  return is_consistent(plan_.memory, state, position) &&
         (SlotState::tag(state) != Tag::ready || position >= ring_.oldest());
}

// True if one was found that is not as it should be.
bool SlotInspection::inspect(bool all) {
  std::vector<Suspect> suspects;
  bool wrong = false;
  const auto inspect_at = [&](std::uint64_t position) {
    if (TaskState* task = ring_.task_at(position)) wrong |= inspect_slot(plan_.memory.slot(position), *task, suspects);
  };
  for (const TaskRing::SkippedSlot& skipped : ring_.skipped_slots()) inspect_at(skipped.position);
  const std::uint64_t oldest = ring_.oldest();
  for (std::uint64_t position = oldest; position < ring_.tail() && (all || position == oldest); ++position)
    inspect_at(position);
  suspects_ = std::move(suspects);
  return wrong;
}

bool SlotInspection::inspect_slot(Slot& slot, TaskState& task, std::vector<Suspect>& suspects) {
  const std::uint64_t position = task.position.load(std::memory_order_relaxed);
  std::uint64_t state = slot.state.load(std::memory_order_acquire);
  const Tag tag = SlotState::tag(state);
  if (can_be(state, position)) {
    if (tag == Tag::ready || tag == Tag::done) return false;
    if (tag == Tag::marked_for_kill && task.wanted_ending == Ending::pending) {
      slot.state.compare_exchange_strong(state, SlotState::with_tag(state, Tag::running), std::memory_order_acq_rel);
      return true;
    }
    if (workers_[SlotState::worker(state)].arena != nullptr && runs(ring_, SlotState::worker(state), position))
      return false;
    if (slot.state.load(std::memory_order_acquire) != state)
      return false;  // it has ended meanwhile, or somebody requested a ring
  }
  state &= ~SlotState::kRings;
  const auto known = std::find_if(suspects_.begin(), suspects_.end(),
                                  [&](const Suspect& s) { return s.position == position && s.state == state; });
  if (known == suspects_.end()) {
    Suspect& fresh = suspects.emplace_back(Suspect{position, state, Clock::now(), {}});
    fresh.turns.resize(workers_.size());
    for (unsigned i = 0; i < workers_.size(); ++i) fresh.turns[i] = turns_of(i);
    return true;
  }
  const bool still_in_doubt = Clock::now() - known->since < 2 * kLongestDoubt;
  if (judge(slot, task, *known)) return true;
  suspects.push_back(std::move(*known));
  return still_in_doubt;
}

// True if nothing is left to be found out.
bool SlotInspection::judge(Slot& slot, TaskState& task, const Suspect& suspect) {
  std::uint64_t state = slot.state.load(std::memory_order_acquire);
  if ((state & ~SlotState::kRings) != suspect.state) return true;
  const bool consistent = can_be(state, suspect.position);
  const unsigned says_so = worker_at(plan_.memory, suspect.position);
  if (says_so < workers_.size() && may_be_in(says_so, suspect) &&
      !(consistent && SlotState::worker(state) == says_so)) {
    const std::uint64_t ready = SlotState::ready(suspect.position & SlotState::kPositionMask, SlotState::kRings);
    const Tag tag = task.wanted_ending != Ending::pending ? Tag::marked_for_kill : Tag::running;
    slot.state.compare_exchange_strong(state, SlotState::with_tag(SlotState::running(ready, says_so), tag),
                                       std::memory_order_acq_rel);
    return true;
  }
  bool anybody = false;
  for (unsigned i = 0; i < workers_.size() && !anybody; ++i) anybody = may_be_in(i, suspect);
  if (!anybody || (consistent && !may_be_in(SlotState::worker(state), suspect))) {
    // Nobody changes the word but who has it in hand; the compare is for one who dies hard.
    if (slot.state.compare_exchange_strong(state, SlotState::with_tag(suspect.position << 24, Tag::free),
                                           std::memory_order_acq_rel))
      reclaim_.end_or_run_again(slot, task, Ending::overwritten);
    return true;
  }
  const auto doubt = Clock::now() - suspect.since;
  if (consistent) {
    if (task.timeout.count() > 0 && task.wanted_ending == Ending::pending && doubt >= task.timeout)
      cancellation_.mark_for_kill(task, Ending::timed_out);
  } else if (doubt >= kLongestDoubt) {
    for (unsigned i = 0; i < workers_.size(); ++i)
      if (may_be_in(i, suspect)) workers_.ask_to_kill(i);
    plan_.ring_server();
  }
  return false;
}

// A worker that ran out of work while the oldest task was ready has gone past it, and past others perhaps.
bool SlotInspection::publish_again() {
  bool gone_past = false;
  for (unsigned i = 0; i < workers_.size() && !gone_past; ++i) {
    const WorkerRecord& record = plan_.memory.worker_records[i];
    gone_past = workers_[i].arena != nullptr && workers_[i].seen_ready && i < rests_.size() &&
                record.rests.load(std::memory_order_acquire) != rests_[i] &&
                record.current.load(std::memory_order_acquire) == 0;
  }
  return gone_past && is_ready_at(ring_, ring_.oldest()) && ring_.publish_again();
}

void SlotInspection::note_rests() {
  rests_.resize(workers_.size());
  for (unsigned i = 0; i < workers_.size(); ++i)
    rests_[i] = plan_.memory.worker_records[i].rests.load(std::memory_order_acquire);
}

void SlotInspection::forget() noexcept {
  rests_.clear();
  suspects_.clear();
}

}  // namespace retinue::detail
