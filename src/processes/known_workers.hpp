// What the owner knows of each worker from its own memory.
#pragma once

#include <optional>
#include <vector>

#include <sys/types.h>

#include "family/liveness.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// One worker, by its record.
struct KnownWorker {
  Arena* arena = nullptr;  ///< null: nobody is here, nor was asked for
  pid_t pid = 0;
  bool spawn_again = false;  ///< it could not be forked or not begin: try later
  bool seen_ready = false;
  bool kill_asked = false;
  unsigned odd = 0;                  ///< looks in a row that found its life or its pid overwritten
  std::optional<DeathNotice> death;  ///< of which not all parts of the pool were notified
};

/// The workers of a pool as the owner has noted them, where no stray write of theirs can reach. The Supervisor writes them;
/// the rest asks, and asks for a worker's end. All with the pool's mutex held. A worker killed at any point stays noted until the
/// Supervisor has seen to its end.
class KnownWorkers {
 public:
  explicit KnownWorkers(const PoolPlan& plan) : memory_(plan.memory), known_(plan.memory.workers) {}

  unsigned size() const noexcept { return memory_.workers; }
  KnownWorker& operator[](unsigned worker) noexcept { return known_[worker]; }
  const KnownWorker& operator[](unsigned worker) const noexcept { return known_[worker]; }
  auto begin() const noexcept { return known_.begin(); }
  auto end() const noexcept { return known_.end(); }

  pid_t pid_of(unsigned worker) const noexcept {
    // A worker may have ended its first task before the service thread has noted its pid.
    return known_[worker].pid != 0 ? known_[worker].pid
                                   : memory_.worker_records[worker].pid.load(std::memory_order_relaxed);
  }

  /// The fork server kills it when it is rung.
  void ask_to_kill(unsigned worker) noexcept {
    known_[worker].kill_asked = true;
    memory_.worker_records[worker].kill_wanted.store(kKillWanted, std::memory_order_release);  // Model: ask_to_kill
  }
  void ask_to_kill_all() noexcept {
    for (unsigned i = 0; i < size(); ++i) ask_to_kill(i);
  }

 private:
  const PoolMemory& memory_;
  std::vector<KnownWorker> known_;
};

}  // namespace retinue::detail
