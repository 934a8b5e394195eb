// The tasks that have not ended, and the callbacks that are pending.
#pragma once

#include <chrono>
#include <cstdint>

#include "task_state.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// Since the pool was made.
struct TaskCounts {
  std::uint64_t submitted = 0, finished = 0, failed = 0, cancelled = 0, retried = 0;
};

/// Counts tasks from submit to end, and keeps those whose callbacks are due. All with the pool's mutex held. In private memory.
///
/// Invariant: a task counts in `unfinished()` from its submit to its end, and ends once.
class OpenTasks {
 public:
  explicit OpenTasks(const PoolPlan& plan) noexcept : plan_(plan) {}

  const TaskCounts& counts() const noexcept { return counts_; }
  std::uint64_t unfinished() const noexcept { return unfinished_; }
  /// Of these, those with a timeout.
  std::uint64_t timed() const noexcept { return timed_; }
  std::chrono::nanoseconds shortest_timeout() const noexcept { return shortest_timeout_; }

  void note_submitted(const TaskState& task) noexcept {
    ++counts_.submitted;
    ++unfinished_;
    if (task.timeout.count() > 0 && (timed_++ == 0 || task.timeout < shortest_timeout_)) {
      shortest_timeout_ = task.timeout;
      plan_.ring_service();  // its next look must not come later than this
    }
  }
  void note_retried() noexcept { ++counts_.retried; }

  void end(TaskState& task, Ending ending) noexcept {
    --unfinished_;
    if (task.timeout.count() > 0) --timed_;
    ++counts_.finished;
    if (ending == Ending::cancelled) ++counts_.cancelled;
    else if (ending != Ending::value) ++counts_.failed;
    task.kept.reset();
    if (task.finished_list != nullptr) task.finished_list->append(task);
    if (!task.callbacks.empty()) {
      task.add_ref();
      pending_callbacks_.append(task);
      plan_.ring_service();
    }
    order_before(&task.ending);
    task.ending.store(ending, std::memory_order_release);
  }

  /// Ended tasks whose callbacks are due, each with a reference that is the caller's from now on; null if there are none.
  TaskState* take_pending_callbacks() noexcept { return pending_callbacks_.take(); }
  bool has_pending_callbacks() const noexcept { return pending_callbacks_.first != nullptr; }

 private:
  const PoolPlan& plan_;
  TaskCounts counts_;
  std::uint64_t unfinished_ = 0;
  std::uint64_t timed_ = 0;
  std::chrono::nanoseconds shortest_timeout_{0};
  FinishedList pending_callbacks_;
};

}  // namespace retinue::detail
