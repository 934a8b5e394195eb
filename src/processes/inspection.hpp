// What the owner notes from look to look at the memory it shares.
#pragma once

#include <chrono>
#include <cstdint>

#include "known_workers.hpp"
#include "lifecycle.hpp"
#include "open_tasks.hpp"
#include "slot_inspection.hpp"
#include "supervisor.hpp"
#include "task_ring.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// Looks are made as long as tasks are open: by the service thread, with the pool's mutex held. The pool's own memory holds the
/// truth, so all that is needed is somebody who compares. In the pool's private memory.
class Inspection {
 public:
  Inspection(const PoolPlan& plan, TaskRing& ring, const OpenTasks& open, KnownWorkers& workers, Supervisor& supervisor,
             const Lifecycle& lifecycle, SlotInspection& slots) noexcept
      : plan_(plan),
        ring_(ring),
        open_(open),
        workers_(workers),
        supervisor_(supervisor),
        lifecycle_(lifecycle),
        slots_(slots) {}

  /// Looks whether shared memory is as it should be, if it is time for that, and repairs it. Returns when the next look
  /// is due; nullopt once the pool is idle, and what was noted is forgotten.
  Deadline inspect();

 private:
  static constexpr std::chrono::milliseconds kPause{200},
      kLongestPause{1600};                                      // grows while nothing ends and nothing is wrong
  static constexpr std::chrono::milliseconds kSecondLook{100};  // at what was found wrong

  struct Look {
    Deadline next;
    std::chrono::milliseconds pause = kPause;
    // As it was found.
    std::uint64_t finished = 0, submitted = 0, oldest = 0;
    bool oldest_was_ready = false;
  };

  bool repair_control();
  bool repair_worker_records();
  bool repair_worker_record(unsigned worker);
  bool repair_head();

  const PoolPlan& plan_;
  TaskRing& ring_;
  const OpenTasks& open_;
  KnownWorkers& workers_;
  Supervisor& supervisor_;
  const Lifecycle& lifecycle_;
  SlotInspection& slots_;
  Look last_;
};

}  // namespace retinue::detail
