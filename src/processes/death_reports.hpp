// Passes the deaths of a pool's workers on to the process.
#pragma once

#include <deque>

#include "family/liveness.hpp"
#include "deadlines.hpp"
#include "pool_lock.hpp"

namespace retinue::detail {

/// Deaths that are known to the pool and not yet to `Liveness::of_this_process()`, whose subscribers must be called without the
/// pool's mutex.
class DeathReports {
 public:
  /// Subscribes to the deaths of a pool.
  DeathReports(PoolLock& lock, Liveness& deaths);

  /// With the pool's mutex held. Throws bad_alloc.
  void add(const ProcessDeath& death);
  /// Publishes all, without the mutex; returns when to try again if a subscriber had no memory to hear of them. Nothing if it is
  /// called by a subscriber.
  Deadline report() noexcept;

 private:
  bool begin() noexcept;

  PoolLock& lock_;
  std::deque<DeathNotice> unreported_;  // guarded by lock_; the first is the reporting thread's
  bool reporting_ = false;              // guarded by lock_
  Liveness::Subscription subscription_;
};

}  // namespace retinue::detail
