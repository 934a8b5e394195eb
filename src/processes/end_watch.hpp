// How the owner and its fork server learn of each other's end.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <pthread.h>
#include <sys/types.h>

#include "control.hpp"

namespace retinue::detail {

/// A thread of the owner's that waits in waitid(2) for the end of its fork server, and holds the fork server's
/// doorbell: if the owner ends, or execs another program, this thread ends, and the kernel rings. Neither needs a
/// descriptor. It runs none of the program's code. The fork server is left to be waited for, by `reap`, unless somebody
/// else in the program does it.
///
/// For one thread at a time, but `ended`. A forked child has no such thread and must not destroy this.
class EndWatch {
 public:
  /// `control` is that of the pool of `server`, a child of this process. When the fork server has ended the service
  /// doorbell is rung, unless the pool is closing. Throws ResourceExhausted.
  EndWatch(pid_t server, Control& control);
  EndWatch(const EndWatch&) = delete;
  EndWatch& operator=(const EndWatch&) = delete;
  /// Ends the thread if the fork server has ended; else the thread stays, to wait for it and reap it. Then `control`
  /// must never be used for anything else.
  ~EndWatch();

  bool ended() const noexcept;
  /// 0 also if it was killed.
  int exit_code() const noexcept;
  /// False if it lives on past the deadline.
  bool wait(std::chrono::steady_clock::time_point deadline) const noexcept;

 private:
  struct Watched;
  static void* watch(void* watched) noexcept;

  std::shared_ptr<Watched> watched_;
  pthread_t thread_{};
};

/// Takes the dead child out of the table of processes; nothing if the program has done so.
void reap(pid_t child) noexcept;

}  // namespace retinue::detail
