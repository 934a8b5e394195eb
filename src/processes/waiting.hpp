// How threads of the owner wait for tasks of a pool.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>

#include "lifecycle.hpp"
#include "open_tasks.hpp"
#include "owner_process.hpp"
#include "pool_lock.hpp"
#include "service_thread.hpp"
#include "task_ring.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// Polls a little, then sleeps on the owner's doorbell; meanwhile reads finished slots. Any thread, without the pool's mutex. The
/// service thread does its rounds meanwhile, so that a callback that waits cannot stop the pool.
class Waiting {
 public:
  Waiting(const PoolPlan& plan, PoolLock& lock, TaskRing& ring, const OpenTasks& open, const Lifecycle& lifecycle,
          const OwnerProcess& owner, ServiceThread& service) noexcept
      : plan_(plan), lock_(lock), ring_(ring), open_(open), lifecycle_(lifecycle), owner_(owner), service_(service) {}

  /// See Completion.
  bool done(TaskState& task) noexcept;
  /// A worker has claimed it and is not done with it.
  bool is_running(const TaskState& task) const noexcept;
  bool wait(TaskState& task, const Deadline& deadline);
  bool arm(TaskState& task);
  void progress();
  /// In a forked child nobody will ever end the parent's tasks: one not ended at the fork ends here, without
  /// the mutex, which a thread that does not exist here may hold. False in the owner.
  bool end_if_made_elsewhere(TaskState& task) const noexcept;

  /// Waits until no task is unfinished; false if the deadline passed first.
  bool wait_until_idle(const Deadline& deadline);

  // For maps ---------------------------------------------------------------------------------------
  /// Waits until `first` or any of `others` is done, `nudged` is set, or the deadline passes.
  void wait_for_any_of(TaskState& first, std::span<TaskState* const> others, const std::atomic<bool>& nudged,
                       const Deadline& deadline);
  /// On a crowded machine, sleeps until `task` is done, `longest` at the most; false, at once, on others.
  bool sleep_for_bulk(TaskState& task, std::chrono::nanoseconds longest);
  /// The same for a map that takes results as they come: until the task half way down the slots is done.
  bool sleep_for_half(std::chrono::nanoseconds longest);
  /// Waits until `list`, which the pool appends to, is not empty, or until no task is left that a free
  /// worker could claim, or `nudged` is set, or the deadline passes.
  void wait_for_finished(const FinishedList& list, const std::atomic<bool>& nudged, const Deadline& deadline);
  /// Waits until `nudged` is set; false if the deadline passed first.
  bool wait_for_nudge(const std::atomic<bool>& nudged, const Deadline& deadline);

 private:
  template <class Ready>
  bool sleep_until(const Deadline& deadline, const std::uint32_t& mask, Ready&& ready);
  /// Polls; meanwhile workers can see on which CPU (see WayGiver).
  template <class Look>
  bool poll(std::chrono::nanoseconds longest, Look&& look);
  /// How long a thread may poll before it sleeps; zero if not at all.
  std::chrono::nanoseconds longest_spin(const Deadline& deadline) const noexcept;
  bool crowded() const noexcept { return plan_.memory.workers >= plan_.cpus; }

  const PoolPlan& plan_;
  PoolLock& lock_;
  TaskRing& ring_;
  const OpenTasks& open_;
  const Lifecycle& lifecycle_;
  const OwnerProcess& owner_;
  ServiceThread& service_;
};

}  // namespace retinue::detail
