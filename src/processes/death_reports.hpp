// Passes the deaths of a pool's workers on to those outside the pool.
#pragma once

#include <deque>

#include "family/liveness.hpp"
#include "deadlines.hpp"
#include "owner_process.hpp"
#include "pool_lock.hpp"

namespace retinue::detail {

/// Deaths that are known to the pool and not yet to those outside it, who must be called without the pool's mutex:
///   - subscribers of `failures()`, notified of workers that died or were killed, in the service thread only;
///   - then those of `Liveness::of_this_process()`, notified of all.
class DeathReports {
 public:
  /// Subscribes to the deaths of a pool.
  DeathReports(PoolLock& lock, const OwnerProcess& owner, Liveness& deaths);

  /// To be subscribed to by any thread, without the mutex.
  Liveness& failures() noexcept { return failures_; }

  /// With the pool's mutex held. Throws bad_alloc.
  void add(const ProcessDeath& death);
  /// Publishes all, without the mutex; returns when to try again if a subscriber had no memory for them. Nothing if it is
  /// called by a subscriber. For the service thread. Returns in a child that a subscriber has forked, too.
  Deadline report() noexcept { return publish(true); }
  /// The same for the thread that ends the pool, once there is no service thread: `failures()` is notified no more.
  void report_last() noexcept { publish(false); }

 private:
  struct Report {
    DeathNotice to_pool, to_process;  // each has a place of its own among subscribers
  };
  bool begin() noexcept;
  Deadline publish(bool to_pool) noexcept;
  bool pass_on(Report& report, bool to_pool) noexcept;

  PoolLock& lock_;
  const OwnerProcess& owner_;
  Liveness failures_;
  std::deque<Report> unreported_;  // guarded by lock_; the first is the reporting thread's
  bool reporting_ = false;         // guarded by lock_
  Liveness::Subscription subscription_;
};

}  // namespace retinue::detail
