// Stops tasks that run longer than they may.
#pragma once

#include <cstdint>
#include <vector>

#include "cancellation.hpp"
#include "deadlines.hpp"
#include "open_tasks.hpp"
#include "task_ring.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// For the service thread, with the pool's mutex held. What it knows of a worker's task is in private memory: a worker that was
/// stopped before it noted its start is seen all the same.
class TimeoutWatch {
 public:
  TimeoutWatch(const PoolPlan& plan, const TaskRing& ring, const OpenTasks& open, Cancellation& cancellation)
      : plan_(plan), ring_(ring), open_(open), cancellation_(cancellation), first_seen_(plan.memory.workers) {}

  /// Has the workers of overdue tasks killed. Returns when to look again.
  Deadline kill_overdue();

 private:
  struct FirstSeen {
    std::uint64_t current = 0, at = 0;  // a claimed task without a start, and when it was seen (ns)
  };
  std::uint64_t first_seen(unsigned worker, std::uint64_t current, Clock::time_point now);

  const PoolPlan& plan_;
  const TaskRing& ring_;
  const OpenTasks& open_;
  Cancellation& cancellation_;
  std::vector<FirstSeen> first_seen_;  // by worker
};

}  // namespace retinue::detail
