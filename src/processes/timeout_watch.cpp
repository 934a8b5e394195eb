#include "timeout_watch.hpp"

#include "loading_limit.hpp"
#include "slot_checks.hpp"

namespace retinue::detail {

// When a task was first seen claimed: stands in for its start where the worker was stopped before it
// noted that.
std::uint64_t TimeoutWatch::first_seen(unsigned worker, std::uint64_t current, Clock::time_point now) {
  FirstSeen& seen = first_seen_[worker];
  if (seen.current != current)
    seen = {current, static_cast<std::uint64_t>(now.time_since_epoch().count()) & ~WorkerRecord::kLoading};
  return seen.at;
}

// A task not yet started, or still loading, cannot be due before it has run for the shortest timeout of all, so that is when
// to look again at the latest.
Deadline TimeoutWatch::kill_overdue() {
  if (open_.timed() == 0) return std::nullopt;
  const auto now = Clock::now();
  const auto now_ns = static_cast<std::uint64_t>(now.time_since_epoch().count());
  Deadline next = now + open_.shortest_timeout();
  const PoolMemory& memory = plan_.memory;
  for (unsigned i = 0; i < memory.workers; ++i) {
    const WorkerRecord& record = memory.worker_records[i];
    std::uint64_t started = record.started_ns.load(std::memory_order_acquire);
    const std::uint64_t current = record.current.load(std::memory_order_acquire);
    if (current == 0) continue;
    TaskState* task = ring_.task_at(current - 1);
    if (task == nullptr || task->timeout.count() <= 0 || task->wanted_ending != Ending::pending) continue;
    if (record.started_ns.load(std::memory_order_acquire) != started) continue;
    const std::uint64_t state = slot_of(memory, *task).state.load(std::memory_order_acquire);
    if (is_consistent(memory, state, current - 1) &&
        (SlotState::tag(state) != Tag::running || SlotState::worker(state) != i))
      continue;
    if (started == 0 || started > now_ns) started = first_seen(i, current, now);
    const bool loading = (started & WorkerRecord::kLoading) != 0;
    const Clock::time_point due(std::chrono::nanoseconds(started) +
                                (loading ? loading_limit(task->timeout) : task->timeout));
    if (now < due) {
      next = earlier(next, due);
      continue;
    }
    // Model: kill_overdue
    cancellation_.mark_for_kill(*task, loading ? Ending::timed_out_loading : Ending::timed_out);
  }
  return next;
}

}  // namespace retinue::detail
