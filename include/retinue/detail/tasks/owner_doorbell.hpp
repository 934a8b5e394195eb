// Where threads of the owner sleep while tasks run elsewhere.
#pragma once

#include <atomic>
#include <cstdint>

#include <retinue/detail/tasks/completion.hpp>

namespace retinue::detail {

/// The owner's one doorbell: a futex word in a page shared with every process forked from the owner,
/// rung when a task that somebody waits for has ended. All executors of a process share it, so that a
/// thread can wait for any of several futures of several executors in one sleep.
///
/// To sleep: read `value()`, arm what you wait for, look once more, then `wait(value)`. Ringers change
/// the word before they wake, so nothing is missed in between. A ring may be for somebody else: look
/// again and go back to sleep. A process killed between ending a task and ringing is made up for by
/// the pool's service thread, which rings for every death.
///
/// The mask spreads sleepers: a ring wakes those whose mask shares a bit with it.
class OwnerDoorbell {
 public:
  static constexpr std::uint32_t kEveryone = ~std::uint32_t{0};

  /// The doorbell of the calling process, made on first use; throws ResourceExhausted if that fails.
  static OwnerDoorbell& of_this_process();

  /// The file that the doorbell lies in, for a program started anew; close-on-exec. -1 if this process has closed it.
  int memfd() const noexcept;
  /// The doorbell of another process, in a program started anew by it: at the same address. Throws ResourceExhausted.
  static OwnerDoorbell& attach(int memfd, std::uintptr_t address);

  std::uint32_t value() const noexcept { return word_.load(std::memory_order_seq_cst); }
  void ring(std::uint32_t mask = kEveryone) noexcept;
  /// False if the deadline passed first.
  bool wait(std::uint32_t seen, const Deadline& deadline, std::uint32_t mask = kEveryone) noexcept;
  /// From now on `wait` in this thread returns within a few milliseconds, as if rung: for threads that
  /// have chores and may be made to wait by a callback. Their chores are done by Completion::progress().
  static void keep_sleeps_short() noexcept;

 private:
  OwnerDoorbell() = default;
  std::atomic<std::uint32_t> word_{0};
};

}  // namespace retinue::detail
