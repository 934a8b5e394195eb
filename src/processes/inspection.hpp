// What the owner notes from look to look at the memory it shares.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include <retinue/detail/tasks/completion.hpp>

namespace retinue::detail {

/// The earlier of two, of which either may be none.
inline Deadline earlier(const Deadline& a, const Deadline& b) {
  if (!a) return b;
  return b && *b < *a ? b : a;
}

/// A slot whose state cannot be, or that names a worker which says it is elsewhere.
struct Suspect {
  std::uint64_t position = 0;  ///< of the task in it
  std::uint64_t state = 0;     ///< what the slot said, but for the rings
  unsigned looks = 0;          ///< in a row that found it so
  Clock::time_point since{};
  std::vector<std::uint64_t> turns;  ///< of each worker, when it was first found: who has made one since was not in it
};

/// Looks are made as long as tasks are open: by the service thread, with the pool's mutex. The pool's own memory holds the
/// truth, so all that is needed is somebody who compares. In the pool's private memory.
struct Inspection {
  static constexpr std::chrono::milliseconds kPause{200},
      kLongestPause{1600};                                      // grows while nothing ends and nothing is wrong
  static constexpr std::chrono::milliseconds kSecondLook{100};  // at what was found wrong
  static constexpr std::chrono::seconds kLongestDoubt{5};       // about a worker that does not move: then it is killed

  bool on = false;  ///< set by who publishes, cleared by a look that finds an idle pool
  Deadline next;
  std::chrono::milliseconds pause = kPause;
  // As the last look found it.
  std::uint64_t finished = 0, submitted = 0, oldest = 0;
  bool oldest_was_ready = false;
  std::vector<std::uint64_t> rests;  ///< by worker
  std::vector<Suspect> suspects;
};

}  // namespace retinue::detail
