// What a Future points to: the end of one task, whichever executor runs it.
#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include <retinue/detail/system/thread_order.hpp>

namespace retinue::detail {

using Clock = std::chrono::steady_clock;
using Deadline = std::optional<Clock::time_point>;  ///< nullopt: for ever

/// Now and `time` later; no later than a century from now, which stands for "for ever". A negative time has passed.
template <class Rep, class Period>
Clock::time_point deadline_after(const std::chrono::duration<Rep, Period>& time) {
  constexpr std::chrono::hours kCentury(24 * 36525);
  const std::chrono::duration<double> seconds(time);
  if (seconds >= std::chrono::duration<double>(kCentury)) return Clock::now() + kCentury;
  if (!(seconds.count() > 0)) return Clock::now();  // of any size, which the clock need not have
  return Clock::now() + std::chrono::ceil<Clock::duration>(time);
}

class OwnerDoorbell;
struct SharedMemory;

class EncodedCompletion;

/// One task's end. Owned jointly by its Future, its executor and whoever waits (intrusive count).
/// Thread-safe. It becomes done once and stays so. Lives in the owner's private memory.
class Completion {
 public:
  Completion() noexcept : Completion(1) {}
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;

  void add_ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (refs_.load(std::memory_order_acquire) != 1) {
      order_before(&refs_);
      if (refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    }
    order_after(&refs_);
    destroy();
  }

  /// True once the task has ended, in whichever way. Never blocks.
  virtual bool done() noexcept = 0;
  /// Waits until done or until the deadline; returns done(). May run the executor's own chores.
  virtual bool wait(const Deadline& deadline) = 0;
  /// Cancels the task if it has not started; with `force` also stops a running one. True if the
  /// task ends (or ended) as cancelled because of this or an earlier call.
  virtual bool cancel(bool force) = 0;
  virtual bool cancelled() noexcept = 0;
  /// True while the task's function runs, or is about to be called: it has been claimed and is not done. Never blocks.
  virtual bool running() noexcept = 0;
  /// Calls `callback` once the task is done: at once in this thread if it is, else in a thread of the
  /// executor's. What the callback throws is dropped.
  virtual void on_done(std::function<void()> callback) = 0;
  /// Asks that the end of this task rings `owner_doorbell()`. False if it is done already. One arming
  /// serves one ring; arm again before each sleep.
  virtual bool arm() = 0;
  /// That doorbell: another one, if the executor is of another copy of this library.
  virtual const OwnerDoorbell& doorbell() const = 0;
  /// Itself, if its value is bytes; else null.
  virtual EncodedCompletion* encoded() noexcept { return nullptr; }
  /// Wait-loop chores an executor needs done by whoever waits (read finished slots); may do nothing.
  virtual void progress() noexcept {}

 protected:
  /// For executors that keep references themselves from the start.
  explicit Completion(std::uint32_t refs) noexcept : refs_(refs) {}
  virtual ~Completion() = default;
  virtual void destroy() noexcept { delete this; }

 private:
  std::atomic<std::uint32_t> refs_;
};

/// The end of a task whose value is bytes: it ran an entry with encoded arguments.
class EncodedCompletion : public Completion {
 public:
  /// The bytes of a done task's value, good as long as the task is; or throws what it ended with.
  virtual std::span<const std::byte> value_bytes() = 0;
  /// Takes the block of shared memory that holds a done task's value; no data if the value is small and has none. The
  /// caller frees it (free_shared). Throws what the task ended with, and Error if it was taken before.
  virtual SharedMemory take_block() = 0;
  EncodedCompletion* encoded() noexcept final { return this; }

 protected:
  using Completion::Completion;
  ~EncodedCompletion() override = default;
};

/// An owning pointer to a Completion (or a class derived from it).
template <class T>
class Ref {
 public:
  Ref() = default;
  /// Adopts a reference the caller already owns (a fresh object counts one).
  explicit Ref(T* owned) noexcept : p_(owned) {}
  Ref(const Ref& o) noexcept : p_(o.p_) {
    if (p_) p_->add_ref();
  }
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  /// Of a class derived from T.
  template <class U>
    requires std::convertible_to<U*, T*>
  Ref(Ref<U> o) noexcept : p_(o.release()) {}
  Ref& operator=(Ref o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Ref() {
    if (p_) p_->release();
  }
  T* get() const noexcept { return p_; }
  T* operator->() const noexcept { return p_; }
  T& operator*() const noexcept { return *p_; }
  /// Gives the reference away.
  [[nodiscard]] T* release() noexcept { return std::exchange(p_, nullptr); }
  explicit operator bool() const noexcept { return p_ != nullptr; }

 private:
  T* p_ = nullptr;
};

/// Waits until at least one of `set` is done or the deadline passes; true if one is. The members may
/// belong to different executors. Empty entries (nullptr) are passed over.
bool wait_for_any(std::span<Completion* const> set, const Deadline& deadline);

}  // namespace retinue::detail
