// Keeping signals away from a thread for a while.
#pragma once

#include <signal.h>

#include "calls.hpp"

namespace retinue::detail {

/// Blocks all signals of the calling thread for its own lifetime: around a fork, until the child has put its handlers in
/// order, and around the start of a thread that shall have none, for a thread inherits the mask.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
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
