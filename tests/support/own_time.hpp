// The time that processes take, without what they wait for a CPU.
#pragma once

#include <map>
#include <set>
#include <sys/types.h>

#include "patience.hpp"

namespace retinue_test {

/// For how long the process was ready to run and others were run instead; none if it has ended, or the kernel does not
/// count this.
std::chrono::nanoseconds waited_for_cpu(pid_t pid);

/// A clock that stands while processes wait for a CPU: on a busy machine that is no time of theirs.
class OwnTime {
 public:
  /// To be called often with the processes that are there; counts this one, too, which waits for their ends.
  void look_at(const std::set<pid_t>& pids);
  /// The time since this was made, less what those processes have waited since they were first looked at.
  std::chrono::milliseconds passed() const;

  /// Polls `done` until it holds; false if the processes that `pids()` gives take longer than that.
  template <class Pids, class Done>
  static bool suffices(std::chrono::milliseconds time, Pids&& pids, Done&& done) {
    OwnTime own;
    bool held = false;
    eventually([&] {
      held = done();
      if (!held) own.look_at(pids());
      return held || own.passed() > time;
    });
    return held;
  }

 private:
  struct Waits {
    std::chrono::nanoseconds before, so_far;
  };
  Clock::time_point begin_ = Clock::now();
  std::map<pid_t, Waits> waits_;
};

}  // namespace retinue_test
