// What the system says of another process.
#pragma once

#include <string_view>
#include <sys/types.h>

namespace retinue::detail {

class ProcessState {
 public:
  /// Async-signal-safe.
  static ProcessState of(pid_t pid) noexcept;

  /// As in ps: R, S, T (stopped by a signal), Z (dead, not yet waited for) ...; 0 if nothing is known of it.
  char state() const noexcept { return state_; }
  /// Of its first thread.
  std::string_view name() const noexcept { return name_; }

 private:
  char state_ = '\0';
  char name_[64] = {};
};

/// Whether the calling thread is the only one of this process; false also if the system does not say.
bool is_only_thread() noexcept;

}  // namespace retinue::detail
