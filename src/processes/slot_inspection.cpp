// Looks at slots. A task whose slot was overwritten ends, or runs again, once it is certain that no worker has it in hand;
// one that is ready and that all workers have gone past is published again.
//
// | the slot says                      | and                                          | then                             |
// | ---------------------------------- | -------------------------------------------- | -------------------------------- |
// | what cannot be, or another worker  | a worker says that it runs the task          | the slot says so again           |
// | what cannot be, running, condemned | no worker can have it                        | MemoryOverwritten, or a retry    |
// | what cannot be                     | one that does not move might, for five s     | that one is killed, then as above |
// | running, another position in the worker's record | it might be true               | as long as it takes, and no longer than its timeout |
// | condemned                          | nobody had asked for that                    | running                          |
// | ready                              | a worker ran out of work meanwhile           | ready, a round further on        |
//
// No worker can have it: each is dead, has ended a task or run out of work since the slot was first found so, or runs
// another, as its record and that slot agree. All this takes two looks at least. What a worker may change meanwhile is
// changed by compare-and-swap only.
#include <algorithm>

#include "pool_core.hpp"

namespace retinue::detail {

std::uint64_t PoolCore::turns_of(unsigned worker) const noexcept {
  const Seat& seat = plan_.memory.seats[worker];
  return seat.finished.load(std::memory_order_acquire) + seat.rests.load(std::memory_order_acquire) +
         (static_cast<std::uint64_t>(tended_[worker].pid) << 40);
}

bool PoolCore::runs(unsigned worker, std::uint64_t position) const noexcept {
  const TaskState* task = owners_[position & plan_.memory.slot_mask];
  if (task == nullptr || task->position.load(std::memory_order_relaxed) != position) return false;
  const std::uint64_t state = plan_.memory.slot(position).state.load(std::memory_order_acquire);
  return is_consistent(state, position) && (State::tag(state) == Tag::running || State::tag(state) == Tag::condemned) &&
         State::worker(state) == worker &&
         plan_.memory.seats[worker].current.load(std::memory_order_acquire) == position + 1;
}

// What its record and that slot say agrees: it cannot be in that of `position`.
bool PoolCore::is_elsewhere(unsigned worker, std::uint64_t position) const noexcept {
  const std::uint64_t current = plan_.memory.seats[worker].current.load(std::memory_order_acquire);
  return current != 0 && current != position + 1 && runs(worker, current - 1);
}

bool PoolCore::may_be_in(unsigned worker, const Suspect& suspect) const noexcept {
  const Seat& seat = plan_.memory.seats[worker];
  const Tended& tended = tended_[worker];
  if (tended.part == nullptr || turns_of(worker) != suspect.turns[worker]) return false;
  const bool takes_tasks = tended.seen_ready || seat.ready.load(std::memory_order_acquire) != 0;
  if (!takes_tasks || seat.retiring.load(std::memory_order_acquire) == 1) return false;
  return !is_elsewhere(worker, suspect.position);
}

// What the ring went past was not ready any more, and never is again.
bool PoolCore::can_be(std::uint64_t state, std::uint64_t position) const noexcept {
  return is_consistent(state, position) && (State::tag(state) != Tag::ready || position >= oldest_);
}

// True if one was found that is not as it should be.
bool PoolCore::inspect_slots(bool all) {
  std::vector<Suspect> suspects;
  bool wrong = false;
  const auto inspect_at = [&](std::uint64_t position) {
    TaskState* task = owners_[position & plan_.memory.slot_mask];
    if (task != nullptr && task->position.load(std::memory_order_relaxed) == position)
      wrong |= inspect_slot(plan_.memory.slot(position), *task, suspects);
  };
  for (const Straggler& straggler : stragglers_) inspect_at(straggler.position);
  for (std::uint64_t position = oldest_; position < tail_ && (all || position == oldest_); ++position)
    inspect_at(position);
  inspection_.suspects = std::move(suspects);
  return wrong;
}

bool PoolCore::inspect_slot(Slot& slot, TaskState& task, std::vector<Suspect>& suspects) {
  const std::uint64_t position = task.position.load(std::memory_order_relaxed);
  std::uint64_t state = slot.state.load(std::memory_order_acquire);
  const Tag tag = State::tag(state);
  if (can_be(state, position)) {
    if (tag == Tag::ready || tag == Tag::done) return false;
    if (tag == Tag::condemned && task.wanted_ending == Ending::pending) {
      slot.state.compare_exchange_strong(state, State::with_tag(state, Tag::running), std::memory_order_acq_rel);
      return true;
    }
    if (tended_[State::worker(state)].part != nullptr && runs(State::worker(state), position)) return false;
    if (slot.state.load(std::memory_order_acquire) != state)
      return false;  // it has ended meanwhile, or somebody marked it
  }
  state &= ~State::kRings;
  const auto known = std::find_if(inspection_.suspects.begin(), inspection_.suspects.end(),
                                  [&](const Suspect& s) { return s.position == position && s.state == state; });
  if (known == inspection_.suspects.end()) {
    Suspect& fresh = suspects.emplace_back(Suspect{position, state, 1, Clock::now(), {}});
    fresh.turns.resize(workers());
    for (unsigned i = 0; i < workers(); ++i) fresh.turns[i] = turns_of(i);
    return true;
  }
  ++known->looks;
  const bool still_in_doubt = Clock::now() - known->since < 2 * Inspection::kLongestDoubt;
  if (judge(slot, task, *known)) return true;
  suspects.push_back(std::move(*known));
  return still_in_doubt;
}

// True if nothing is left to be found out.
bool PoolCore::judge(Slot& slot, TaskState& task, const Suspect& suspect) {
  std::uint64_t state = slot.state.load(std::memory_order_acquire);
  if ((state & ~State::kRings) != suspect.state) return true;
  const bool consistent = can_be(state, suspect.position);
  const unsigned says_so = worker_at(suspect.position);
  if (says_so < workers() && may_be_in(says_so, suspect) && !(consistent && State::worker(state) == says_so)) {
    const std::uint64_t ready = State::ready(suspect.position & State::kPositionMask, State::kRings);
    const Tag tag = task.wanted_ending != Ending::pending ? Tag::condemned : Tag::running;
    slot.state.compare_exchange_strong(state, State::with_tag(State::running(ready, says_so), tag),
                                       std::memory_order_acq_rel);
    return true;
  }
  bool anybody = false;
  for (unsigned i = 0; i < workers() && !anybody; ++i) anybody = may_be_in(i, suspect);
  if (!anybody || (consistent && !may_be_in(State::worker(state), suspect))) {
    // Nobody changes the word but who has it in hand; the compare is for one who dies hard.
    if (slot.state.compare_exchange_strong(state, State::with_tag(suspect.position << 24, Tag::free),
                                           std::memory_order_acq_rel))
      end_overwritten(slot, task);
    return true;
  }
  const auto doubt = Clock::now() - suspect.since;
  if (consistent) {
    if (task.timeout.count() > 0 && task.wanted_ending == Ending::pending && doubt >= task.timeout)
      condemn(task, Ending::timed_out);
  } else if (doubt >= Inspection::kLongestDoubt) {
    for (unsigned i = 0; i < workers(); ++i)
      if (may_be_in(i, suspect)) ask_to_kill(i);
    plan_.ring_server();
  }
  return false;
}

void PoolCore::end_overwritten(Slot& slot, TaskState& task) {
  if (task.wanted_ending != Ending::pending) end_slot(slot, task, task.wanted_ending);
  else if (task.retries > 0 && !at_once_) run_again(slot, task);
  else end_slot(slot, task, Ending::overwritten);
}

// A worker that ran out of work while the oldest task was ready has gone past it, and past others perhaps. Each gets the
// position that its slot has in the next round of the ring; all of them, so that they stay in order. True if any did.
bool PoolCore::publish_again() {
  bool gone_past = false;
  for (unsigned i = 0; i < workers() && !gone_past; ++i) {
    const Seat& seat = plan_.memory.seats[i];
    gone_past = tended_[i].part != nullptr && tended_[i].seen_ready && i < inspection_.rests.size() &&
                seat.rests.load(std::memory_order_acquire) != inspection_.rests[i] &&
                seat.current.load(std::memory_order_acquire) == 0;
  }
  if (!gone_past || !is_ready_at(oldest_)) return false;
  const std::uint64_t slots = plan_.memory.slot_mask + 1, end = tail_;
  bool any = false;
  for (std::uint64_t position = oldest_; position < end; ++position) {
    if (!is_ready_at(position)) continue;
    auto& word = plan_.memory.slot(position).state;
    std::uint64_t state = word.load(std::memory_order_acquire);
    if (State::tag(state) != Tag::ready) continue;  // claimed just now
    const std::uint64_t again = position + slots;
    // Model: publish_again
    if (!word.compare_exchange_strong(state, State::ready(again & State::kPositionMask, state & State::kRings),
                                      std::memory_order_acq_rel))
      continue;
    owners_[position & plan_.memory.slot_mask]->position.store(again, std::memory_order_release);
    tail_ = again + 1;
    any = true;
  }
  if (any) {
    published_ = true;
    was_idle_ = false;
  }
  return any;
}

}  // namespace retinue::detail
