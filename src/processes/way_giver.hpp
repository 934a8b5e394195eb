// When a worker that polls for tasks is in the way of the thread that is to submit them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <sched.h>

namespace retinue::detail {

/// The CPU the calling thread runs on + 1; 0 if the kernel does not say.
inline std::uint32_t this_cpu() noexcept { return static_cast<std::uint32_t>(::sched_getcpu() + 1); }

/// Two that poll for each other on one CPU both wait for the scheduler, and nothing ever moves one of them elsewhere: the
/// kernel takes both for busy. Who is woken, however, is put on an idle CPU if there is one. So a worker that polls on the
/// CPU of the waiting owner goes to sleep. Where that did not help, because every CPU has others to run, it is tried again
/// after a pause that grows, lest each task pays for a wake-up. For one thread.
class WayGiver {
 public:
  /// To be asked now and then while polling. `waiter_cpu`: where the owner polls, as `this_cpu` says, or 0.
  bool should_sleep(std::uint32_t waiter_cpu) noexcept {
    if (waiter_cpu == 0 || waiter_cpu != this_cpu()) return false;
    return is_time(Clock::now());
  }

  using Clock = std::chrono::steady_clock;
  /// Whether it is to be tried at `now`, which then begins the next pause.
  bool is_time(Clock::time_point now) noexcept {
    if (now < next_) return false;
    pause_ = now - next_ > 2 * pause_ + kForgotten ? kShortest : std::min(2 * pause_, kLongest);
    next_ = now + pause_;
    return true;
  }

 private:
  static constexpr Clock::duration kShortest = std::chrono::microseconds(500), kLongest = std::chrono::milliseconds(64),
                                   kForgotten = std::chrono::milliseconds(20);

  Clock::time_point next_{};
  Clock::duration pause_ = kShortest;
};

}  // namespace retinue::detail
