// The owner's hold on its fork server.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <sys/types.h>

#include <retinue/detail/processes/process_hooks.hpp>
#include <retinue/detail/tasks/completion.hpp>

#include "end_watch.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// The fork server as a child process: its start, its end, and what is done if it is stopped. For the thread that makes
/// or ends the pool and for its service thread, one at a time, but `has_ended`. What the fork server does for the pool
/// goes through shared memory (control.hpp). If it is killed the kernel kills its workers with it.
class ForkServerHandle {
 public:
  explicit ForkServerHandle(const PoolPlan& plan) noexcept : plan_(plan) {}

  /// Forks it, and notes in `plan`, before that, which signals workers get. Throws ResourceExhausted.
  void start(PoolPlan& plan, const FreshProgram* program);
  /// Leaves it to be waited for. `exit_code` is 0 also if it was killed.
  bool has_ended(int* exit_code = nullptr) const noexcept;
  /// False if that is not allowed. Nothing if it has ended.
  bool kill_now() const noexcept;
  /// Waits until it has left, and kills it if it does not. False if it can neither be waited for nor be killed.
  bool end() noexcept;
  /// After `end`.
  void stop_watching() noexcept { end_.reset(); }

  struct Look {
    Deadline next;             ///< when to look again
    bool kill_failed = false;  ///< it is stopped, and may not be killed
  };
  /// Kills it if it is stopped though something `waits_for_it`, or if it is past the deadline.
  Look look(bool waits_for_it, const Deadline& terminate_deadline) noexcept;
  /// And was killed for that.
  bool was_stopped() const noexcept { return was_stopped_; }
  pid_t pid() const noexcept { return pid_; }

 private:
  bool wait(std::chrono::milliseconds longest) const noexcept;

  const PoolPlan& plan_;
  std::optional<EndWatch> end_;
  pid_t pid_ = 0;
  Deadline look_;             // when to look at it again; nullopt: nothing waits for it
  int looks_at_stopped_ = 0;  // in a row
  bool was_stopped_ = false;
};

}  // namespace retinue::detail
