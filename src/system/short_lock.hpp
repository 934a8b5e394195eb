// A lock for a few instructions.
#pragma once

#include <atomic>
#include <sched.h>
#include <time.h>

#include "system/pause.hpp"

namespace retinue::detail {

/// Guards critical sections of tens of nanoseconds, without system calls inside, between threads of one
/// process. Four bytes and one atomic operation for lock and unlock together. A waiter polls, then yields its
/// processor, then sleeps in short naps, so that a holder that lost its processor gets it back under every
/// scheduling policy. Not recursive. In a forked child it may be held for ever: do not lock it there.
class ShortLock {
 public:
  constexpr ShortLock() = default;
  ShortLock(const ShortLock&) = delete;
  ShortLock& operator=(const ShortLock&) = delete;

  void lock() noexcept {
    if (!try_lock()) wait_and_lock();
  }
  bool try_lock() noexcept {
    return !held_.load(std::memory_order_relaxed) && !held_.exchange(true, std::memory_order_acquire);
  }
  void unlock() noexcept { held_.store(false, std::memory_order_release); }

 private:
  [[gnu::noinline]] void wait_and_lock() noexcept {
    for (int tries = 0; !try_lock(); ++tries) {
      if (tries < 64) {
        cpu_pause();
      } else if (tries < 128) {
        ::sched_yield();
      } else {
        const timespec nap{0, 50'000};
        ::nanosleep(&nap, nullptr);
      }
    }
  }

  std::atomic<bool> held_{false};
};

}  // namespace retinue::detail
