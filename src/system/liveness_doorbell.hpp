// A doorbell that the kernel rings when a thread ends.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <linux/futex.h>
#include <optional>
#include <sys/types.h>

namespace retinue::detail {

/// A doorbell in shared memory which one thread, perhaps of another process, *holds*: when that thread ends, whatever
/// ends it (its return, a kill, another thread's exec of a new program), the kernel marks the word and wakes the
/// sleeper. For this the word is in the form of a robust mutex: the holder's thread id, FUTEX_OWNER_DIED, and
/// FUTEX_WAITERS, without which the kernel does not wake; so that bit stands for "not rung".
///
/// | what the word says                | written by                                             |
/// | --------------------------------- | ------------------------------------------------------ |
/// | the holder's thread id            | the holder (Hold), and `restore`                       |
/// | not rung                          | the sleeper sets it (`drain`), ringers clear it        |
/// | the holder has ended              | the kernel                                             |
///
/// What a stray process writes there is a hint at most: a sleeper asks the kernel whether the holder lives before it
/// believes that it does not, and `restore`s the word. One sleeper; any process may ring.
class LivenessDoorbell {
 public:
  /// Async-signal-safe; never blocks; keeps errno.
  void ring() noexcept;
  /// Takes all rings so far.
  void drain() noexcept { word_.fetch_or(kNotRung, std::memory_order_seq_cst); }
  /// Sleeps until it is rung, the holder ends, or the deadline passes; may return without cause.
  void wait(const std::optional<std::chrono::steady_clock::time_point>& deadline) noexcept;

  bool holder_ended() const noexcept { return (word_.load(std::memory_order_acquire) & FUTEX_OWNER_DIED) != 0; }
  /// Its thread id; 0 if nobody holds the doorbell.
  pid_t holder() const noexcept { return static_cast<pid_t>(word_.load(std::memory_order_acquire) & FUTEX_TID_MASK); }
  /// Writes again who holds it.
  void restore(pid_t holder) noexcept;

  /// All of it, for one who looks at each task whether it is what it was: a doorbell that nobody rings changes only
  /// when its holder ends.
  std::uint32_t look() const noexcept { return word_.load(std::memory_order_relaxed); }

  /// The calling thread holds a doorbell while this lives, which is to be in memory that outlives the thread if it
  /// lives as long as that. For threads that run nothing but the engine's code: it takes the place of the list of
  /// robust mutexes that the C library keeps for each. Not inherited by forks. Where the kernel refuses it
  /// (set_robust_list), the doorbell has a holder whose end nobody is notified of.
  class Hold {
   public:
    explicit Hold(LivenessDoorbell& doorbell) noexcept;
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    LivenessDoorbell& doorbell_;
    robust_list link_{};
    robust_list_head list_{};
  };

 private:
  static constexpr std::uint32_t kNotRung = FUTEX_WAITERS;
  std::atomic<std::uint32_t> word_{0};
};
static_assert(sizeof(LivenessDoorbell) == 4);

}  // namespace retinue::detail
