// What becomes of tasks whose worker has died, or whose pool has broken.
#pragma once

#include <memory>
#include <vector>

#include "family/liveness.hpp"
#include "known_workers.hpp"
#include "lifecycle.hpp"
#include "open_tasks.hpp"
#include "task_ring.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// Ends tasks that were in a worker's hands, or returns them to the ring. With the pool's mutex held, but for
/// `free_still_read`.
class Reclaim {
 public:
  /// Subscribes to the deaths of the pool's workers.
  Reclaim(const PoolPlan& plan, TaskRing& ring, const Lifecycle& lifecycle, Liveness& deaths)
      : plan_(plan),
        ring_(ring),
        lifecycle_(lifecycle),
        subscription_(deaths.subscribe([this](const ProcessDeath& death) { from_dead_worker(death); })) {}

  /// Of a broken pool: all that are in slots or wait for one.
  void from_broken_pool() noexcept;
  /// A task whose worker was stopped or has died, or of which it is not known whether it had one: runs again if it may, else
  /// ends as `ending`, or as it was to be stopped.
  void end_or_run_again(Slot& slot, TaskState& task, Ending ending);
  /// What workers were reading when the pool broke; they are all gone, or, if not, it is `lost`.
  void free_still_read(bool lost) noexcept;

 private:
  void from_dead_worker(const ProcessDeath& death);
  struct StillRead {
    Payload::OwnerBlock block;
    std::unique_ptr<KeptMemory> kept;
  };
  bool is_of(unsigned worker, const TaskState& task, std::uint64_t state) const noexcept;
  void keep_for_worker(TaskState& task) noexcept;

  const PoolPlan& plan_;
  TaskRing& ring_;
  const Lifecycle& lifecycle_;
  std::vector<StillRead> still_read_;  // arguments of tasks that ran when the pool broke
  Liveness::Subscription subscription_;
};

}  // namespace retinue::detail
