// How far a map over processes reads its inputs ahead.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

#include <retinue/future.hpp>

namespace retinue::detail {

/// The most tasks of a map that may be outstanding: submitted and not given to the caller. It starts small, and doubles when
/// workers run out of tasks while the caller waits, and when as many results were taken within a few milliseconds: so slow
/// tasks and slow callers read few inputs ahead, and tiny tasks as many as there are slots. One thread at a time.
class LookAhead {
 public:
  /// `chosen` by the user, or 0.
  LookAhead(std::size_t chosen, std::size_t workers)
      : limit_(chosen != 0 ? chosen : std::max<std::size_t>(kMaxAhead, 4 * workers)),
        size_(std::min<std::size_t>(limit_, 4 * workers)) {}

  std::size_t size() const noexcept { return size_; }
  /// How many inputs to read with so many tasks outstanding: 0 until a worthwhile batch fits.
  std::size_t room(std::size_t outstanding) const noexcept {
    if (outstanding >= size_) return 0;
    const std::size_t room = size_ - outstanding;
    return outstanding == 0 || room >= std::max<std::size_t>(1, size_ / 4) ? std::min(room, kBatch) : 0;
  }
  void grow() noexcept { size_ = std::min(limit_, 2 * size_); }
  /// From now on results that are taken quickly let it grow, or do not.
  void set_steady(bool steady) noexcept { steady_ = steady; }
  /// A result was given to the caller.
  void note_taken() noexcept {
    if (++taken_ < size_) return;
    taken_ = 0;
    const auto now = Clock::now();
    if (steady_ && now - turned_ < kFastTurn) grow();
    turned_ = now;
  }

 private:
  static constexpr std::size_t kMaxAhead = 4096;
  static constexpr std::size_t kBatch = 256;
  static constexpr std::chrono::milliseconds kFastTurn{4};

  const std::size_t limit_;
  std::size_t size_;
  bool steady_ = true;
  std::size_t taken_ = 0;                    // results since ...
  Clock::time_point turned_ = Clock::now();  // ... the last time that as many as `size_` had been taken
};

}  // namespace retinue::detail
