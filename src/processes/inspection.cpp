// Looks at what all processes of a pool share: what a stray write has changed is written again, for the owner has it
// all in its own memory. A look never ends or repeats a task that a worker may have in hand (slot_inspection.cpp).
#include "inspection.hpp"

#include <algorithm>
#include <cerrno>

#include <retinue/detail/tasks/owner_doorbell.hpp>

#include "system/calls.hpp"

namespace retinue::detail {

Deadline Inspection::inspect() {
  const auto now = Clock::now();
  const bool begins = !last_.next;
  if (!begins && now < *last_.next) return last_.next;
  const std::uint64_t finished = open_.counts().finished, submitted = open_.counts().submitted;
  const bool ended = finished != last_.finished;
  const bool idle = !begins && open_.unfinished() == 0 && !ended && submitted == last_.submitted;
  bool wrong = false;
  if (!begins) {
    wrong = repair_control();
    // Where tasks end, only the oldest may be stuck, and those that the ring went past.
    const std::uint64_t oldest = ring_.oldest();
    const bool oldest_stuck = oldest < ring_.tail() && oldest == last_.oldest;
    wrong |= slots_.inspect(!ended || oldest_stuck);
    if (last_.oldest_was_ready && oldest_stuck) wrong |= slots_.publish_again();
    // Ready for that long: perhaps all who could run it sleep, and the bits that say so were overwritten.
    if (wrong || (oldest_stuck && is_ready_at(ring_, oldest))) ring_all_workers(plan_.memory);
    plan_.owner_doorbell->ring();  // that a thread waits for a task is noted in the slot as well
  }
  if (idle) {
    last_ = {};
    slots_.forget();
    return std::nullopt;
  }
  if (wrong) last_.pause = kSecondLook;
  else if (begins || ended) last_.pause = kPause;
  else last_.pause = std::min(std::max(last_.pause, kSecondLook) * 2, kLongestPause);
  last_.next = now + last_.pause;
  last_.finished = open_.counts().finished;
  last_.submitted = submitted;
  last_.oldest = ring_.oldest();
  last_.oldest_was_ready = is_ready_at(ring_, ring_.oldest());
  slots_.note_rests();
  return last_.next;
}

// True if something was wrong that workers may have acted on.
bool Inspection::repair_control() {  // Model: repair_control
  Control& control = *plan_.memory.control;
  bool wrong = false;
  // What was published since the mutex was taken is shown when it is released.
  if (ring_.published() == TaskRing::Published::nothing &&
      control.tail.load(std::memory_order_relaxed) != ring_.tail()) {
    control.tail.store(ring_.tail(), std::memory_order_release);
    wrong = true;
  }
  wrong |= repair_head();
  const std::uint32_t closing = lifecycle_.closing_announced() ? kClosing : 0;
  if (control.closing.load(std::memory_order_relaxed) != closing) {
    control.closing.store(closing, std::memory_order_seq_cst);
    wrong = true;
  }
  for (unsigned word = 0; word < std::size(control.idlers); ++word) {
    const unsigned first = word * 64, beyond = workers_.size() - std::min(first, workers_.size());
    if (beyond >= 64) continue;
    const std::uint64_t mask = (std::uint64_t{1} << beyond) - 1;
    for (auto* bits : {&control.idlers[word].spinning, &control.idlers[word].asleep})
      if ((bits->load(std::memory_order_relaxed) & ~mask) != 0) bits->fetch_and(mask, std::memory_order_seq_cst);
  }
  wrong |= repair_worker_records();
  plan_.region->repair_head();
  return wrong;
}

// The hint where a worker may begin, which must not be beyond a task that is ready.
bool Inspection::repair_head() {
  auto& head = plan_.memory.control->head;
  std::uint64_t found = head.load(std::memory_order_acquire);
  const std::uint64_t oldest = ring_.oldest();
  if (found <= oldest || (found <= ring_.tail() && !is_ready_at(ring_, oldest))) return false;
  return head.compare_exchange_strong(found, oldest, std::memory_order_acq_rel);
}

// Who lives is known to the fork server, which writes it again when it is rung; what is asked of it, to the owner.
bool Inspection::repair_worker_records() {
  bool wrong = false;
  for (unsigned i = 0; i < workers_.size(); ++i) {
    wrong |= repair_worker_record(i);
    if (lifecycle_.closed()) return true;
  }
  if (wrong) plan_.ring_server();
  return wrong;
}

bool Inspection::repair_worker_record(unsigned worker) {
  WorkerRecord& record = plan_.memory.worker_records[worker];
  KnownWorker& known = workers_[worker];
  bool wrong = false;
  if (known.arena != nullptr) {
    const std::uint32_t wanted = known.kill_asked ? kKillWanted : 0;
    if (record.kill_wanted.load(std::memory_order_relaxed) != wanted) {
      record.kill_wanted.store(wanted, std::memory_order_release);
      wrong = true;
    }
  }
  const Life life = record.life.load(std::memory_order_acquire);
  const bool asked = life == Life::spawn_wanted || life == Life::spawn_failed;
  const bool is_alive =
      life == Life::alive && (known.pid == 0 || record.pid.load(std::memory_order_relaxed) == known.pid);
  const bool right =
      known.arena == nullptr ? life == Life::empty : is_alive || life == Life::ended || (asked && known.pid == 0);
  known.odd = right ? 0 : known.odd + 1;
  if (right) return wrong;
  if (known.arena == nullptr) {
    record.life.store(Life::empty, std::memory_order_release);
  } else if (known.odd >= 2 && known.pid == 0) {
    record.life.store(Life::spawn_wanted, std::memory_order_release);  // if it has been forked, the fork server says so
  } else if (known.odd >= 2 && sys::kill(known.pid, 0) != 0 && errno == ESRCH) {
    supervisor_.on_worker_end(worker);
  } else if (known.odd >= 2 && life == Life::alive) {
    known.pid = record.pid.load(std::memory_order_relaxed);  // it was noted while it was overwritten
  }
  return true;
}

}  // namespace retinue::detail
