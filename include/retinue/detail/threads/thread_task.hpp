// One task of a thread pool: its state, and the storage of its call and later of its outcome.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include <retinue/detail/tasks/completion.hpp>
#include <retinue/detail/tasks/task_memory.hpp>
#include <retinue/error.hpp>

namespace retinue::detail {

class ThreadCore;

/// The part of a task that does not depend on its types. Thread-safe.
///
/// All that can happen to a task happens to one word: its phase in the lowest bits, whether its end rings the
/// owner's doorbell, and the list of its callbacks. Phases go Ready -> Running -> an end, or Ready -> Cancelled;
/// whoever makes the step into Running or Cancelled owns the call, whoever makes the step into an end hands
/// the outcome over. So a task may be in a queue, in the hands of a waiting thread and under cancellation at
/// once, and one of them gets it.
class ThreadTask : public Completion {
 public:
  enum Phase : std::uintptr_t { kReady, kRunning, kValue, kTaken, kError, kCancelled, kTimedOut, kPhases = 7 };

  /// `core`: the pool, or nullptr for a task that is run by `run_here`. A timeout of 0 is none, a negative one
  /// has passed: the task is not run. It is kept with seven digits. With a pool the task counts two references, the
  /// queue's and the maker's, else one.
  ThreadTask(ThreadCore* core, std::chrono::nanoseconds timeout) noexcept;

  bool done() noexcept override { return phase() > kRunning || left_behind(); }
  bool wait(const Deadline& deadline) override;
  bool cancel(bool force) override;
  bool cancelled() noexcept override { return phase() == kCancelled; }
  bool running() noexcept override { return phase() == kRunning && !left_behind(); }
  void on_done(std::function<void()> callback) override;
  bool arm() override;
  const OwnerDoorbell& doorbell() const override;

  Phase phase() const noexcept {
    const auto phase = Phase(state_.load(std::memory_order_acquire) & kPhases);
    order_after(&state_);
    return phase;
  }
  /// Makes the caller the one that runs this task; false if another one was, or it was cancelled.
  bool claim() noexcept;
  /// Runs a claimed task to its end, in the calling thread. The caller holds a reference.
  void run_claimed() noexcept;
  /// Claims and runs a task without a pool.
  void run_here() noexcept {
    if (claim()) run_claimed();
  }
  /// Ends a running task and notifies all who wait; false if it had ended (of its timeout).
  bool end(Phase phase) noexcept {
    std::uintptr_t state = 0;
    if (!end_quietly(phase, state)) return false;
    notify(state);
    return true;
  }
  /// `end` in two steps: what `state` is set to is to be passed to `notify`.
  bool end_quietly(Phase phase, std::uintptr_t& state) noexcept;
  void notify(std::uintptr_t state) noexcept {
    if (state & ~std::uintptr_t{kPhases}) [[unlikely]]
      notify_waiters(state);
  }
  /// Ends a claimed task with an error before it has run.
  void fail(std::exception_ptr error) noexcept {
    drop_call(std::move(error));
    end(kError);
  }

  /// The pool: only to be followed by its own threads, for it may be gone once the task is done.
  ThreadCore* core() const noexcept { return reinterpret_cast<ThreadCore*>(home_ & ~kGeneration); }
  std::chrono::nanoseconds timeout() const noexcept {
    return std::chrono::nanoseconds(static_cast<long long>(timeout_));
  }

 protected:
  /// Runs the call, destroys it, stores the outcome; gives kValue or kError.
  virtual Phase run() noexcept = 0;
  /// Destroys the call, which will not be run, and stores `error` if there is one.
  virtual void drop_call(std::exception_ptr error) noexcept = 0;
  /// Destroys an outcome that came too late.
  virtual void drop_outcome(Phase phase) noexcept = 0;

  /// What a future throws for an end that is neither value nor stored exception.
  [[noreturn]] void throw_end(Phase phase) const;
  /// For a value that can only be moved out: true for the first who asks.
  bool take_value() noexcept {
    std::uintptr_t expected = kValue;
    return state_.compare_exchange_strong(expected, kTaken, std::memory_order_acq_rel);
  }

 private:
  friend class ThreadCore;
  friend class TaskQueue;
  struct Callback {
    std::function<void()> call;
    Callback* next;
  };
  static constexpr std::uintptr_t kGeneration = 63;
  static constexpr std::uintptr_t kArmed = 8;
  static constexpr std::uintptr_t kCallbacks = ~std::uintptr_t{15};

  std::uint32_t doorbell_mask() const noexcept;
  void notify_waiters(std::uintptr_t state) noexcept;
  /// True in a forked child for a task that did not end before the fork: its thread stayed with the parent.
  bool left_behind() const noexcept;

  const float timeout_;  // here, because it fits beside the count of references
  std::atomic<std::uintptr_t> state_{kReady};
  ThreadTask* next_ = nullptr;  // in a queue; guarded by its lock
  ThreadTask* previous_ = nullptr;
  const std::uintptr_t home_;  // the pool, which is aligned, and in the low bits the process's fork_generation()
};

/// A task that calls `function(arguments...)`. A small one fits one cache line.
template <class R, class F, class... A>
class CallTask final : public ThreadTask {
  using Value = std::conditional_t<std::is_void_v<R>, std::tuple<>, R>;

 public:
  template <class G, class... B>
  CallTask(ThreadCore* core, std::chrono::nanoseconds timeout, G&& function, B&&... arguments)
      : ThreadTask(core, timeout), call_(std::forward<G>(function), std::forward<B>(arguments)...) {}

  static void* operator new(std::size_t bytes) { return allocate_task_memory(bytes); }
  static void operator delete(void* memory) noexcept { free_task_memory(memory, sizeof(CallTask)); }

  /// The value of a task that is done, or throws what it ended with.
  R take() {
    const Phase ended = phase();
    if (ended == kError) std::rethrow_exception(error_);
    if constexpr (std::is_void_v<R>) {
      if (ended == kValue) return;
    } else if constexpr (std::is_copy_constructible_v<R>) {
      if (ended == kValue) return std::as_const(value_);
    } else {
      if (ended == kValue && take_value()) return std::move(value_);
    }
    throw_end(ended);
  }

 protected:
  Phase run() noexcept override {
    [[maybe_unused]] bool called = false;
    try {
      if constexpr (std::is_void_v<R>) {
        std::apply([](auto&&... part) { std::invoke(std::forward<decltype(part)>(part)...); }, std::move(call_));
        std::destroy_at(&call_);
        std::construct_at(&value_);
      } else {
        R value = std::apply([](auto&&... part) -> R { return std::invoke(std::forward<decltype(part)>(part)...); },
                             std::move(call_));
        std::destroy_at(&call_);
        called = true;
        std::construct_at(&value_, std::move(value));
      }
      return kValue;
    } catch (...) {
      if (!called) std::destroy_at(&call_);
      std::construct_at(&error_, std::current_exception());
      return kError;
    }
  }
  void drop_call(std::exception_ptr error) noexcept override {
    std::destroy_at(&call_);
    if (error) std::construct_at(&error_, std::move(error));
  }
  void drop_outcome(Phase phase) noexcept override {
    if (phase == kValue) std::destroy_at(&value_);
    if (phase == kError) std::destroy_at(&error_);
  }

 private:
  ~CallTask() override {
    switch (phase()) {
      case kReady: std::destroy_at(&call_); break;
      case kTaken: std::destroy_at(&value_); break;
      default: drop_outcome(phase());
    }
  }

  union {
    std::tuple<F, A...> call_;
    Value value_;
    std::exception_ptr error_;
  };
};

}  // namespace retinue::detail
