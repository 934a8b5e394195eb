// How a thread of the owner waits for tasks: what a thread of a pool does instead of only sleeping, how long
// anyone spins first, and the sleep itself.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <sched.h>
#include <span>

#include <retinue/detail/tasks/completion.hpp>

#include "system/pause.hpp"

namespace retinue::detail {

/// The place that a pool's thread fills while it runs a task. A thread that must wait inside a task gives its
/// place away, so that another thread runs what is queued, and goes on at once when its wait is over.
class WaitPlace {
 public:
  /// Runs one task of `set` that has not started and belongs to this thread's pool; false if there is none.
  virtual bool run_in_place(std::span<Completion* const> set) noexcept = 0;
  virtual void leave() noexcept = 0;
  virtual void come_back() noexcept = 0;

 protected:
  ~WaitPlace() = default;
};

/// The place of the calling thread, or nullptr outside of pools. Set by the pool's threads for themselves.
WaitPlace*& place_of_this_thread() noexcept;

/// Gives the calling thread's place away for its own lifetime.
class AwayFromPlace {
 public:
  AwayFromPlace() noexcept : place_(place_of_this_thread()) {
    if (place_ != nullptr) place_->leave();
  }
  ~AwayFromPlace() {
    if (place_ != nullptr) place_->come_back();
  }
  AwayFromPlace(const AwayFromPlace&) = delete;
  AwayFromPlace& operator=(const AwayFromPlace&) = delete;

 private:
  WaitPlace* const place_;
};

/// The spin before a sleep. How long follows what it brought before in the same place: doubled each time it
/// succeeded, halved each time it was in vain. One object serves one thread.
class AdaptiveSpin {
 public:
  using Time = std::chrono::nanoseconds;
  AdaptiveSpin(Time least, Time most) noexcept : least_(least), most_(most), budget_(least) {}

  /// True as soon as `ready()` is; false when the budget is spent. The first part pauses the processor, the
  /// rest yields it, so that on a full machine whoever is waited for can run.
  template <class Ready>
  bool until(Ready&& ready) noexcept {
    const auto start = Clock::now();
    for (bool yielding = false;;) {
      for (int i = 0; i < 8; ++i) {
        if (ready()) {
          budget_ = std::min(budget_ * 2, most_);
          return true;
        }
        if (yielding) break;
        cpu_pause(4U);
      }
      const auto spent = Clock::now() - start;
      if (spent >= budget_) break;
      if (spent >= kPausing) {
        yielding = true;
        ::sched_yield();
      }
    }
    budget_ = std::max(budget_ / 2, least_);
    return false;
  }

 private:
  static constexpr Time kPausing{1'500};
  Time least_, most_, budget_;
};

/// As `wait_for_any`, but sleeps only for rings whose mask shares a bit with `mask`.
bool wait_on(std::span<Completion* const> set, const Deadline& deadline, std::uint32_t mask);

}  // namespace retinue::detail
