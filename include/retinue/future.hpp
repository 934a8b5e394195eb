// The result of one task, which may still be under way.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <chrono>
#include <concepts>
#include <coroutine>
#include <functional>
#include <memory>
#include <utility>

#include <retinue/detail/tasks/completion.hpp>
#include <retinue/error.hpp>

namespace retinue {

/// What a timed wait found.
enum class FutureStatus { ready, timeout };

/// A handle on the outcome of one task: a value, or the exception it ended with. Made by `submit`.
///
/// Every future ends: with a value, the task's exception, `WorkerDied`, `TaskTimeout`, `Cancelled` or
/// `PoolClosed`. A future may outlive its pool, and dropping it does not stop the task.
///
/// Movable, not copyable. Thread-safe for const use and for waiting from several threads at once;
/// moving or assigning a future needs the care any object needs. After a fork, futures of the parent
/// that were not done stay with the parent: in the child they end with `PoolClosed`.
///
/// How to wait for ever: call `get()` on a task of an executor whose every worker is busy with a task
/// that itself waits for this one.
///
/// Example:
///
///     auto f = pool.submit(square, 7);
///     if (f.wait_for(10ms) == retinue::FutureStatus::ready) std::cout << f.get();
template <class R>
class Future {
 public:
  using value_type = R;

  /// A future of nothing: `valid()` is false and all else throws Error.
  Future() = default;
  Future(Future&&) noexcept = default;
  Future& operator=(Future&&) noexcept = default;

  bool valid() const noexcept { return static_cast<bool>(state_); }

  /// Waits, then gives the value or throws what the task ended with. May be called again and then
  /// gives the outcome again, but for a move-only value of a `ThreadPool` or `SerialExecutor`, which
  /// the first call moves out (a second throws Error).
  R get() const {
    detail::Completion& s = state();
    s.wait(std::nullopt);
    return take_(s);
  }

  /// Waits until the task has ended, in whichever way; never throws what the task threw.
  void wait() const { state().wait(std::nullopt); }

  template <class Rep, class Period>
  FutureStatus wait_for(const std::chrono::duration<Rep, Period>& time) const {
    return wait_until(detail::deadline_after(time));
  }

  FutureStatus wait_until(std::chrono::steady_clock::time_point deadline) const {
    return state().wait(deadline) ? FutureStatus::ready : FutureStatus::timeout;
  }

  /// True once the task has ended, in whichever way. Never blocks.
  bool done() const { return state().done(); }

  /// Cancels the task if it has not started: it never will, and the future ends with `Cancelled`.
  /// With `force`, a task that is running is stopped too (a `ProcessPool` kills and replaces the
  /// worker; threads cannot be stopped, there it is as without). Returns true if the task ends as
  /// cancelled; with `force` that may be a moment later.
  bool cancel(bool force = false) const { return state().cancel(force); }
  bool cancelled() const { return state().cancelled(); }

  /// Calls `callback(Future<R>&)` when the task has ended: at once in this thread if it has, else in a
  /// thread of the executor's. Keep it short, for other callbacks wait behind it; what it throws is
  /// dropped.
  template <class F>
    requires std::invocable<F&, Future<R>&>
  void on_done(F&& callback) const {
    auto call = std::make_shared<std::decay_t<F>>(std::forward<F>(callback));
    state().on_done([call, self = state_, take = take_] {
      Future again(self, take);
      std::invoke(*call, again);
    });
  }

  /// `co_await future` suspends the coroutine and resumes it in a thread of the executor's when the
  /// task has ended; the value of the expression is that of `get()`.
  auto operator co_await() const noexcept {
    struct Awaiter {
      const Future& future;
      bool await_ready() const { return future.done(); }
      void await_suspend(std::coroutine_handle<> h) const {
        future.state().on_done([h] { h.resume(); });
      }
      R await_resume() const { return future.get(); }
    };
    return Awaiter{*this};
  }

  /// For executors: a future on `task`, of which `take`, an R(C&) or a member function of C, reads the outcome once it is
  /// done. The class of the task and what reads it come together here and stay together.
  template <auto take, std::derived_from<detail::Completion> C>
  static Future on(detail::Ref<C> task) noexcept {
    return Future(std::move(task),
                  [](detail::Completion& state) -> R { return std::invoke(take, static_cast<C&>(state)); });
  }
  /// For the patterns: the state behind this future, or nullptr.
  detail::Completion* completion() const noexcept { return state_.get(); }

 private:
  using Take = R (*)(detail::Completion&);
  Future(detail::Ref<detail::Completion> state, Take take) noexcept : state_(std::move(state)), take_(take) {}

  detail::Completion& state() const {
    if (!state_) throw Error("this Future is empty: it was moved from or never came from a submit");
    return *state_;
  }

  detail::Ref<detail::Completion> state_;
  Take take_ = nullptr;
};

}  // namespace retinue
