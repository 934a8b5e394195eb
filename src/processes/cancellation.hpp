// Cancels tasks that have not started, and stops those that run.
#pragma once

#include <memory>
#include <span>

#include "known_workers.hpp"
#include "open_tasks.hpp"
#include "task_ring.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// What ends tasks that need not run, or run no longer. Only a running one costs its worker. All with the pool's mutex held.
/// A worker that dies before it was killed ends its task as it was marked.
class Cancellation {
 public:
  Cancellation(const PoolPlan& plan, TaskRing& ring, OpenTasks& open, KnownWorkers& workers) noexcept
      : plan_(plan), ring_(ring), open_(open), workers_(workers) {}

  enum class Answer : std::uint8_t {
    cancelled_now,         ///< it has just ended; whoever waits must look
    cancelled_or_will_be,  ///< it ended so before, or its worker is being killed
    no,
  };
  /// See Completion::cancel.
  Answer cancel(TaskState& task, bool force);
  /// Cancels what no worker has claimed.
  void cancel_unstarted();
  /// Has the workers killed that run a task. Once nothing is left to be claimed, no other will run one.
  void kill_running() noexcept;
  /// See PoolCore::abandon.
  void abandon(std::span<TaskState* const> tasks, const std::shared_ptr<const void>& kept, bool at_once) noexcept;
  /// Marks a running task's slot, so that its worker cannot go on to another, and has the worker killed. False if it does
  /// not run.
  bool mark_for_kill(TaskState& task, Ending ending);

 private:
  void keep_until_done(TaskState& task, const std::shared_ptr<const void>& kept) noexcept;

  const PoolPlan& plan_;
  TaskRing& ring_;
  OpenTasks& open_;
  KnownWorkers& workers_;
};

}  // namespace retinue::detail
