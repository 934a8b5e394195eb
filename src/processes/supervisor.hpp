// Sees to the ends of workers and to their replacement.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "family/liveness.hpp"
#include "deadlines.hpp"
#include "known_workers.hpp"
#include "lifecycle.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// Asks the fork server for workers and takes note of what became of them. For the service thread, with the pool's mutex
/// held; and for the thread that makes or ends the pool, while there is no service thread. It writes private memory, and
/// of the worker records what is the owner's.
class Supervisor {
 public:
  /// Publishes to `deaths`, the pool's own, and subscribes to them: to count them, and, after all who have subscribed before,
  /// to replace the worker.
  Supervisor(const PoolPlan& plan, KnownWorkers& workers, Lifecycle& lifecycle, Liveness& deaths);

  /// Looks at all worker records: notes who lives, sees to who has ended, and asks for workers whose time has come.
  /// Breaks the pool if no worker can be had. Throws bad_alloc, and may then be called again.
  void look_at_worker_records();
  /// A worker is dead and reaped: nobody else writes its slot, its arena and its bits any more. Likewise.
  void on_worker_end(unsigned worker);
  /// Calls `report` for each worker that left because the pool ended, or died with its fork server: `on_worker_end` is not
  /// called for these. For the thread that ends the pool.
  void for_each_last(const std::function<void(const ProcessDeath&)>& report) const;
  /// Asks for a worker. Where there is no memory to give it, later.
  void spawn(unsigned worker);
  /// Leaves a worker for later: it is asked for once it is needed, or that time has come. One for a pool, at its start.
  void hold_back(unsigned worker, Clock::time_point until) noexcept;
  bool holds_back() const noexcept { return held_back_; }
  /// The next look at the records asks for it.
  void end_holding_back() noexcept;
  /// When one is to be asked for that could not be had, or was held back.
  Deadline next_spawn() const noexcept;

  /// Of a pool that is terminated, whose idle workers may leave in order: has those killed that are still there when they have
  /// had their time for it, and before that, when the pool is not closing yet, those that run something. Gives when to look again.
  Deadline kill_who_stays() noexcept;

  /// Something is wanted of the fork server, which would wait for ever if that were stopped.
  bool waits_for_server() const noexcept;
  /// Once the fork server was killed the kernel has killed each worker, but for those whose tasks have changed user or
  /// asked it not to: kills them.
  void kill_orphans() const noexcept;
  /// The fork server has ended. False if a worker lives on.
  bool workers_are_gone() const noexcept;
  /// Gives up the memory of all; they are gone, or it stays with them.
  void retire_all() noexcept;

  unsigned alive() const noexcept;
  std::uint64_t started() const noexcept { return started_; }  ///< since the pool was made
  std::uint64_t died() const noexcept { return died_; }        ///< of these, other than by their own will or the pool's

 private:
  /// How a worker left.
  struct Departure {
    int status;           ///< as of waitpid
    std::uint32_t ready;  ///< as WorkerRecord::ready
    bool killed_by_us;
    bool died;  ///< other than by its own will or the pool's
  };
  Departure departure_of(unsigned worker) const noexcept;
  ProcessDeath death_of(unsigned worker) const noexcept;
  void count(const ProcessDeath& death);
  void replace(unsigned worker);
  std::string failure_with(unsigned worker, const Departure& departure);
  bool too_many_die_idle(unsigned worker, const Departure& departure) noexcept;
  std::string words_of(unsigned worker) const;
  void vacate(unsigned worker) noexcept;
  void on_spawn_failed(unsigned worker);
  void spawn_later(unsigned worker, const std::string& why);

  const PoolPlan& plan_;
  KnownWorkers& workers_;
  Lifecycle& lifecycle_;
  Liveness& deaths_;
  std::uint64_t started_ = 0;
  std::uint64_t died_ = 0;
  unsigned deaths_at_start_ = 0;              // in a row, before a worker was ready ...
  Clock::time_point first_death_at_start_{};  // ... and when the first of them was
  unsigned deaths_idle_ = 0;                  // in a row, of workers that had begun no task ...
  Clock::time_point first_death_idle_{};      // ... and when the first of them was
  Clock::time_point spawn_again_at_{};
  std::chrono::milliseconds spawn_pause_{10};
  bool held_back_ = false;
  Deadline may_stay_until_;          // of workers of a pool that is terminated: the next look at who is there ...
  bool were_told_to_leave_ = false;  // ... and whether that is from when it was closing
  int more_looks_ = 0;               // after that one, at who is busy
  Liveness::Subscription counting_;
  Liveness::Subscription replacing_;
};

}  // namespace retinue::detail
