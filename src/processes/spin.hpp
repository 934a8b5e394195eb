// How long to poll before going to sleep.
#pragma once

#include <chrono>
#include <cstdint>
#include <sched.h>
#include <utility>

#include "system/pause.hpp"

namespace retinue::detail {

/// Polling answers in a tenth of a microsecond, waking a sleeper takes tens: polling pays where the
/// waits of late were short. Keeps a running mean of them and polls for a while where it is below the
/// longest spin, else hardly at all. One object a waiting thread; not thread-safe.
class SpinBudget {
 public:
  /// Calls `look(n)` for n = 0, 1, ... until it says true (then true) or the time is up, `longest` at the
  /// most. On a `crowded` machine (more to run than CPUs) it offers its CPU to others every microsecond or so.
  /// After the first microsecond it asks `stay()` as often, and ends, with false, when that says false.
  template <class Look, class Stay>
  bool until(std::chrono::nanoseconds longest, bool crowded, Look&& look, Stay&& stay) {
    unsigned n = 0;
    for (; n < kFirstLooks; ++n) {  // about a microsecond, without asking the clock
      if (look(n)) {
        mean_ -= mean_ / 4;
        return true;
      }
      cpu_pause();
    }
    started_ = now();
    const std::int64_t budget = mean_ < longest.count() ? longest.count() : longest.count() / 20;
    for (std::int64_t waited = 0; waited < budget; waited = now() - started_) {
      if (!stay()) return false;
      if (crowded) sched_yield();
      for (unsigned stop = n + kFirstLooks; n < stop; ++n) {
        if (look(n)) {
          note(now() - started_);
          return true;
        }
        cpu_pause();
      }
    }
    return false;
  }

  /// To be called after a sleep that followed an `until` in vain, when the wait is over.
  void slept() noexcept {
    if (started_ != 0) note(now() - started_);
  }

  template <class Look>
  bool until(std::chrono::nanoseconds longest, bool crowded, Look&& look) {
    return until(longest, crowded, std::forward<Look>(look), [] { return true; });
  }

 private:
  static constexpr unsigned kFirstLooks = 48;

  static std::int64_t now() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  }
  void note(std::int64_t wait) noexcept {
    constexpr std::int64_t kMax = 1'000'000;  // so that one long wait is forgotten after a few short ones
    mean_ += ((wait < kMax ? wait : kMax) - mean_) / 4;
  }

  std::int64_t mean_ = 0;
  std::int64_t started_ = 0;
};

}  // namespace retinue::detail
