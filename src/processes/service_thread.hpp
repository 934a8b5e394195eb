// The service thread of a pool.
#pragma once

#include <atomic>
#include <functional>
#include <pthread.h>

#include "core_ref.hpp"
#include "open_tasks.hpp"
#include "owner_process.hpp"
#include "pool_lock.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// Sleeps until a worker ends, a deadline passes, a callback is due or waiting tasks can move into slots; then it does a
/// round: the pool's chores, and the callbacks of ended tasks, which run without the mutex. A callback may drop the pool's last
/// reference, wait for other tasks (then the waiting does rounds), or fork.
class ServiceThread {
 public:
  /// `chores` takes the mutex itself, does not throw, and returns when they are due again.
  ServiceThread(const PoolPlan& plan, PoolLock& lock, OpenTasks& open, const OwnerProcess& owner,
                std::function<Deadline()> chores)
      : plan_(plan), lock_(lock), open_(open), owner_(owner), chores_(std::move(chores)) {}

  /// The thread keeps `pool` until it has ended. Throws ResourceExhausted.
  void start(CoreRef pool);
  /// Waits for it, unless this is the thread itself, which then ends later. Nothing if it was not started. Once.
  void stop() noexcept;
  /// Whether the caller is that thread. Any thread.
  bool is_this() const noexcept { return started_ && pthread_equal(pthread_self(), thread_) != 0; }
  /// One round; returns when the next is due. For this thread.
  Deadline round() noexcept;

 private:
  void serve() noexcept;
  void run_pending_callbacks() noexcept;
  bool has_pending_callbacks() const;

  const PoolPlan& plan_;
  PoolLock& lock_;
  OpenTasks& open_;
  const OwnerProcess& owner_;
  const std::function<Deadline()> chores_;
  CoreRef pool_;  // the thread's own, so that a callback may drop the last Future of a pool
  pthread_t thread_{};
  bool started_ = false;
  std::atomic<bool> stop_{false};
};

}  // namespace retinue::detail
