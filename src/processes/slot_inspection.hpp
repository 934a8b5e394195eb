// Looks at slots that a stray write may have changed.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "cancellation.hpp"
#include "known_workers.hpp"
#include "reclaim.hpp"
#include "task_ring.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// The part of an Inspection that looks at slots; slot_inspection.cpp has the table. By the service thread, with the pool's mutex
/// held. In private memory.
class SlotInspection {
 public:
  SlotInspection(const PoolPlan& plan, TaskRing& ring, KnownWorkers& workers, Cancellation& cancellation,
                 Reclaim& reclaim) noexcept
      : plan_(plan), ring_(ring), workers_(workers), cancellation_(cancellation), reclaim_(reclaim) {}

  /// True if one was found that is not as it should be. Not `all`: skipped slots and the oldest.
  bool inspect(bool all);
  /// Publishes tasks again that workers have gone past since `note_rests`, if the oldest is among them. True if there were any.
  bool publish_again();
  /// Notes which workers have run out of work how often.
  void note_rests();
  void forget() noexcept;

 private:
  static constexpr std::chrono::seconds kLongestDoubt{5};  // about a worker that does not move: then it is killed

  /// A slot whose state cannot be, or that names a worker which says it is elsewhere.
  struct Suspect {
    std::uint64_t position = 0;  ///< of the task in it
    std::uint64_t state = 0;     ///< what the slot said, but for the rings
    Clock::time_point since{};
    std::vector<std::uint64_t>
        turns;  ///< of each worker, when it was first found: who has made one since was not in it
  };

  bool inspect_slot(Slot& slot, TaskState& task, std::vector<Suspect>& suspects);
  bool judge(Slot& slot, TaskState& task, const Suspect& suspect);
  bool can_be(std::uint64_t state, std::uint64_t position) const noexcept;
  bool may_be_in(unsigned worker, const Suspect& suspect) const noexcept;
  std::uint64_t turns_of(unsigned worker) const noexcept;

  const PoolPlan& plan_;
  TaskRing& ring_;
  KnownWorkers& workers_;
  Cancellation& cancellation_;
  Reclaim& reclaim_;
  std::vector<std::uint64_t> rests_;  // by worker
  std::vector<Suspect> suspects_;
};

}  // namespace retinue::detail
