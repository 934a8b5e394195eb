// How much memory that nobody uses is kept for the next blocks, and for how long.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "system/machine_memory.hpp"

namespace retinue::detail {

/// Periods of two seconds, each of which was idle or not. Not thread-safe.
class IdlePeriods {
 public:
  using Clock = std::chrono::steady_clock;

  struct Look {
    bool at_end = false;    ///< a period has ended with this look, and the next one begins
    bool was_idle = false;  ///< nothing was used in it
  };
  /// `uses` counts what has been done so far. The first look begins a period.
  Look look(std::uint64_t uses, Clock::time_point now) noexcept;
  /// When the next look is worth it.
  std::optional<Clock::time_point> end() const noexcept { return end_; }
  /// No period is under way from now on.
  void stop() noexcept { end_.reset(); }

 private:
  std::optional<Clock::time_point> end_;
  std::uint64_t uses_before_ = 0;
};

/// What an owner and its workers may keep while they are idle. Fresh pages cost many times what the copy into them costs, so
/// a share of what the machine has left is kept without a limit of time, half of it by the owner, the other half by its
/// workers. Once less than an eighth of the machine's memory is left, or of what the control group allows, nothing is. Not
/// thread-safe.
class WarmShare {
 public:
  /// `root_prefix`: see MemoryWatch.
  explicit WarmShare(std::string root_prefix = "") : memory_(std::move(root_prefix)) {}

  /// Bytes to keep together; nullopt: a sixteenth of what is left.
  void set_wanted(std::optional<std::uint64_t> bytes) noexcept { wanted_ = bytes; }

  /// Looks at the machine. `kept`: bytes that are kept now, which are not among what it has left. `arenas`: how many workers
  /// there are. `limited`: there is a limit on shared memory, for which what idle processes keep counts.
  void look(std::uint64_t kept, std::uint64_t arenas, bool limited) noexcept;

  bool memory_is_short() const noexcept { return is_short_; }
  std::uint64_t of_owner() const noexcept { return of_owner_; }
  std::uint64_t of_worker() const noexcept { return of_worker_; }

 private:
  MemoryWatch memory_;
  std::optional<std::uint64_t> wanted_;
  bool is_short_ = false;
  std::uint64_t of_owner_ = 0, of_worker_ = 0;  // bytes
};

}  // namespace retinue::detail
