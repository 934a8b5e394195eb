// Keeping signals away from a thread for a while.
#pragma once

#include <signal.h>

#include "calls.hpp"

namespace retinue::detail {

/// All signals, but for those that stop the whole process as Ctrl-Z does, where nobody handles them: while such a signal waits
/// for a process it may fork another, which then goes on where the rest of the job has stopped. Not blocked, the
/// kernel delivers it before the fork or to both.
inline sigset_t signals_to_block() noexcept {
  sigset_t set;
  sigfillset(&set);
  for (const int signal : {SIGTSTP, SIGTTIN, SIGTTOU}) {
    struct sigaction action{};
    if (sys::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) sigdelset(&set, signal);
  }
  return set;
}

/// Blocks these signals of the calling thread for its own lifetime: around a fork, until the child has put its handlers in
/// order, and around the start of a thread that shall have none, for a thread inherits the mask.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    const sigset_t all = signals_to_block();
    blocked_ = sys::pthread_sigmask(SIG_SETMASK, &all, &before_) == 0;
  }
  ~SignalsBlocked() {
    if (blocked_) sys::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

  /// The mask as it was.
  const sigset_t& before() const noexcept { return before_; }

 private:
  sigset_t before_{};
  bool blocked_ = false;
};

}  // namespace retinue::detail
