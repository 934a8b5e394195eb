// Sees to it that a run ends: with what it knows of a hang, and with no process left.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

namespace retinue_chaos {

class Watchdog {
 public:
  /// `describe` says what is under way; called in the watchdog's thread when nothing has moved for `patience`. Then the
  /// state of all processes follows on stderr, they are killed, and the program ends with code 3. With `waits` it
  /// stays as it is, for a debugger.
  Watchdog(std::chrono::seconds patience, bool waits, std::function<std::string()> describe);
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;
  ~Watchdog();

  /// Something has moved. Any thread.
  void progress() noexcept { moves_.fetch_add(1, std::memory_order_relaxed); }

  /// The longest time in which nothing has moved since this was last asked, exact to the watchdog's own nap. No task of
  /// a plan takes as long as a second: what does not move for longer was perhaps woken by chance only.
  std::chrono::milliseconds take_standstill() noexcept { return std::chrono::milliseconds(standstill_ms_.exchange(0)); }

 private:
  void watch();
  [[noreturn]] void bite();

  std::chrono::seconds patience_;
  bool waits_;
  std::function<std::string()> describe_;
  std::atomic<std::uint64_t> moves_{0};
  std::atomic<std::int64_t> standstill_ms_{0};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

/// Kills all processes below this one, which must know of no pool that it still needs.
void kill_descendants();

}  // namespace retinue_chaos
