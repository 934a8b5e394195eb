// A doorbell in memory that processes share.
#pragma once

#include <atomic>
#include <cstdint>

#include "futex.hpp"

namespace retinue::detail {

/// Anybody may ring, one sleeps. Rings run together: many before a `drain` are one. The sleeper drains, looks at
/// what it may have been rung for, and waits: a ring since the drain ends the wait at once.
///
/// It is a word of shared memory and nothing else, so there is no descriptor that somebody could close. Whatever a stray
/// process writes into it is at worst a ring that nobody meant. One killed between the word and the wake-up leaves a
/// sleeper asleep: who learns of its death rings again.
class Doorbell {
 public:
  /// Async-signal-safe; never blocks; keeps errno.
  void ring() noexcept {
    word_.store(1, std::memory_order_seq_cst);
    futex_wake(word_, kEveryone);
  }
  /// Takes all rings so far; true if there was one.
  bool drain() noexcept { return word_.exchange(0, std::memory_order_seq_cst) != 0; }
  /// Sleeps until it is rung, or the deadline passes; may return without cause.
  void wait(const std::optional<std::chrono::steady_clock::time_point>& deadline) noexcept {
    futex_wait(word_, 0, kEveryone, deadline);
  }

 private:
  static constexpr std::uint32_t kEveryone = ~std::uint32_t{0};
  std::atomic<std::uint32_t> word_{0};
};

}  // namespace retinue::detail
