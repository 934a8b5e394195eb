// The one mutex of a pool.
#pragma once

#include <mutex>

#include "task_ring.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// Guards the bookkeeping of all parts of a pool: "with the pool's mutex held" means this one. It is never held over user code or
/// a sleep, and no other process ever waits for it. In private memory.
class PoolLock {
 public:
  PoolLock(const PoolPlan& plan, TaskRing& ring) noexcept : plan_(plan), ring_(ring) {}

  std::mutex& mutex() const noexcept { return mutex_; }

  /// Holds the mutex; when it is released, what was published meanwhile is shown to the workers and, if need
  /// be, one of them woken.
  class Hold {
   public:
    explicit Hold(PoolLock& lock) : lock_(lock) { lock_.mutex_.lock(); }
    ~Hold() {
      using Published = TaskRing::Published;
      const Published published = lock_.ring_.show_published();
      if (published != Published::nothing && !lock_.inspecting_) {
        lock_.inspecting_ = true;
        lock_.plan_.ring_service();
      }
      lock_.mutex_.unlock();
      if (published != Published::nothing) lock_.ring_.wake_for(published);
    }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    PoolLock& lock_;
  };

  /// Whether shared memory is looked at from time to time: from the first publication on, until a look finds an idle pool.
  bool inspecting() const noexcept { return inspecting_; }
  void stop_inspecting() noexcept { inspecting_ = false; }

 private:
  const PoolPlan& plan_;
  TaskRing& ring_;
  mutable std::mutex mutex_;
  bool inspecting_ = false;  // guarded by mutex_
};

}  // namespace retinue::detail
