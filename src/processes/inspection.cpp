// Looks at what all processes of a pool share: what a stray write has changed is written again, for the owner has it
// all in its own memory. A look never ends or repeats a task that a worker may have in hand (slot_inspection.cpp).
#include <algorithm>
#include <cerrno>

#include <retinue/detail/tasks/owner_bell.hpp>

#include "system/calls.hpp"
#include "pool_core.hpp"

namespace retinue::detail {

Deadline PoolCore::inspect() {
  Inspection& last = inspection_;
  if (!last.on) return std::nullopt;
  const auto now = Clock::now();
  const bool begins = !last.next;
  if (!begins && now < *last.next) return last.next;
  const bool ended = stats_.finished != last.finished;
  const bool quiet = !begins && unfinished_ == 0 && !ended && stats_.submitted == last.submitted;
  bool wrong = false;
  if (!begins) {
    wrong = mend_words();
    // Where tasks end, only the oldest may be stuck, and those that the ring went past.
    const bool oldest_stuck = oldest_ < tail_ && oldest_ == last.oldest;
    wrong |= inspect_slots(!ended || oldest_stuck);
    if (last.oldest_was_ready && oldest_stuck) wrong |= publish_again();
    // Ready for that long: perhaps all who could run it sleep, and the bits that say so were overwritten.
    if (wrong || (oldest_stuck && is_ready_at(oldest_))) ring_all_workers(plan_.memory);
    plan_.owner_bell->ring();  // that a thread waits for a task is noted in the slot as well
  }
  if (quiet) {
    last = {};
    return std::nullopt;
  }
  if (wrong) last.pause = Inspection::kSecondLook;
  else if (begins || ended) last.pause = Inspection::kPause;
  else last.pause = std::min(std::max(last.pause, Inspection::kSecondLook) * 2, Inspection::kLongestPause);
  last.next = now + last.pause;
  last.finished = stats_.finished;
  last.submitted = stats_.submitted;
  last.oldest = oldest_;
  last.oldest_was_ready = is_ready_at(oldest_);
  last.rests.resize(workers());
  for (unsigned i = 0; i < workers(); ++i) last.rests[i] = plan_.memory.seats[i].rests.load(std::memory_order_acquire);
  return last.next;
}

// True if something was wrong that workers may have acted on.
bool PoolCore::mend_words() {  // Model: mend_words
  Control& control = *plan_.memory.control;
  bool wrong = false;
  // What was published since the mutex was taken is shown when it is let go.
  if (!published_ && control.tail.load(std::memory_order_relaxed) != tail_) {
    control.tail.store(tail_, std::memory_order_release);
    wrong = true;
  }
  wrong |= mend_head();
  const std::uint32_t closing = told_to_close_.load(std::memory_order_relaxed) ? kClosing : 0;
  if (control.closing.load(std::memory_order_relaxed) != closing) {
    control.closing.store(closing, std::memory_order_seq_cst);
    wrong = true;
  }
  for (unsigned word = 0; word < std::size(control.idlers); ++word) {
    const unsigned first = word * 64, beyond = workers() - std::min(first, workers());
    if (beyond >= 64) continue;
    const std::uint64_t mask = (std::uint64_t{1} << beyond) - 1;
    for (auto* bits : {&control.idlers[word].spinning, &control.idlers[word].asleep})
      if ((bits->load(std::memory_order_relaxed) & ~mask) != 0) bits->fetch_and(mask, std::memory_order_seq_cst);
  }
  wrong |= mend_seats();
  region().mend_head();
  return wrong;
}

// The hint where a worker may begin, which must not be beyond a task that is ready.
bool PoolCore::mend_head() {
  auto& head = plan_.memory.control->head;
  std::uint64_t found = head.load(std::memory_order_acquire);
  if (found <= oldest_ || (found <= tail_ && !is_ready_at(oldest_))) return false;
  return head.compare_exchange_strong(found, oldest_, std::memory_order_acq_rel);
}

bool PoolCore::is_ready_at(std::uint64_t position) const noexcept {
  if (position >= tail_) return false;
  const TaskState* task = owners_[position & plan_.memory.slot_mask];
  if (task == nullptr || task->position.load(std::memory_order_relaxed) != position) return false;
  const std::uint64_t state = plan_.memory.slot(position).state.load(std::memory_order_acquire);
  return State::tag(state) == Tag::ready && State::is_at(state, position);
}

// Who lives is known to the fork server, which writes it again when it is rung; what is asked of it, to the owner.
bool PoolCore::mend_seats() {
  bool wrong = false;
  for (unsigned i = 0; i < workers(); ++i) {
    Seat& seat = plan_.memory.seats[i];
    Tended& tended = tended_[i];
    if (tended.part != nullptr) {
      const std::uint32_t wanted = tended.kill_asked ? kKillWanted : 0;
      if (seat.kill_wanted.load(std::memory_order_relaxed) != wanted) {
        seat.kill_wanted.store(wanted, std::memory_order_release);
        wrong = true;
      }
    }
    const Life life = seat.life.load(std::memory_order_acquire);
    const bool asked = life == Life::spawn_wanted || life == Life::spawn_failed;
    const bool is_alive =
        life == Life::alive && (tended.pid == 0 || seat.pid.load(std::memory_order_relaxed) == tended.pid);
    const bool right =
        tended.part == nullptr ? life == Life::empty : is_alive || life == Life::ended || (asked && tended.pid == 0);
    tended.odd = right ? 0 : tended.odd + 1;
    if (right) continue;
    wrong = true;
    if (tended.part == nullptr) {
      seat.life.store(Life::empty, std::memory_order_release);
    } else if (tended.odd >= 2 && tended.pid == 0) {
      seat.life.store(Life::spawn_wanted, std::memory_order_release);  // if it has been forked, the fork server says so
    } else if (tended.odd >= 2 && sys::kill(tended.pid, 0) != 0 && errno == ESRCH) {
      on_worker_end(i);
      if (closed_) return true;
    } else if (tended.odd >= 2 && life == Life::alive) {
      tended.pid = seat.pid.load(std::memory_order_relaxed);  // it was noted while it was overwritten
    }
  }
  if (wrong) plan_.ring_server();
  return wrong;
}

}  // namespace retinue::detail
