// From an open pool to an ended one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include <retinue/detail/tasks/completion.hpp>

#include "worker.hpp"

namespace retinue::detail {

/// Where a pool is on its way: open, draining (somebody ends it), ended; and whether it is closed: ended, or broken before.
/// With the pool's mutex held, but for what says otherwise.
///
/// Invariant: nothing is published once `closed()`.
class Lifecycle {
 public:
  /// `on_break` ends what a broken pool cannot go on with, with the mutex held.
  Lifecycle(const PoolPlan& plan, std::function<void()> on_break) : plan_(plan), on_break_(std::move(on_break)) {}

  /// Throws PoolClosed if no task can be submitted.
  void require_open() const;
  bool closed() const noexcept { return closed_; }
  bool ended() const noexcept { return stage_ == Stage::ended; }
  /// Empty if it was not broken.
  const std::string& closed_why() const noexcept { return closed_why_; }

  /// The pool cannot go on: every task that has not ended ends with PoolClosed and `why`. Nothing if it is closed.
  void break_pool(const std::string& why) noexcept;

  /// From now on workers are not replaced, and at `deadline` the fork server is killed, which takes them along. The Supervisor
  /// sees to those that do not leave before.
  void terminate(Clock::time_point deadline) noexcept;
  bool terminating() const noexcept { return terminating_; }
  /// nullopt if nobody terminates it.
  Deadline terminate_deadline() const noexcept { return terminating_ ? Deadline(terminate_deadline_) : std::nullopt; }

  /// False if another thread ends the pool already, which must then be waited for.
  bool begin_end() noexcept;
  /// Gives `lock`, which holds the mutex, up meanwhile.
  void wait_for_end(std::unique_lock<std::mutex>& lock);
  void note_end();

  /// Has workers and fork server leave when they look. Any thread, without the mutex.
  void announce_closing() noexcept;
  /// What `Control::closing` says, unless it was overwritten. Any thread, without the mutex.
  bool closing_announced() const noexcept { return closing_announced_.load(std::memory_order_acquire); }

 private:
  enum class Stage { open, draining, ended };

  const PoolPlan& plan_;
  const std::function<void()> on_break_;
  Stage stage_ = Stage::open;
  bool closed_ = false;
  std::string closed_why_;
  bool terminating_ = false;
  Clock::time_point terminate_deadline_{};
  std::condition_variable stage_changed_;
  std::atomic<bool> closing_announced_{false};
};

}  // namespace retinue::detail
