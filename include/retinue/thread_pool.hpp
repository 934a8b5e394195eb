// Threads behind a loop.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include <retinue/detail/threads/local_backend.hpp>
#include <retinue/detail/threads/thread_core.hpp>
#include <retinue/detail/threads/thread_map.hpp>
#include <retinue/detail/patterns/timed_map.hpp>
#include <retinue/executor.hpp>

namespace retinue {

/// A pool of threads with the interface of ProcessPool: for functions that must share memory with their
/// caller, or whose arguments cannot travel. References and pointers are what they are in any threaded program:
/// the caller sees to it that they live long enough and are not raced for.
///
/// What differs from processes: an exception is the one that was thrown; a crash takes the program along;
/// `cancel` cancels what has not started and cannot stop the rest; `TaskOptions::retries` has no meaning.
/// A task past its `TaskOptions::timeout` ends with `TaskTimeout` at its deadline, while its thread goes on
/// unseen to the end of it and another thread takes its place. A callable is moved or copied in and called as
/// an rvalue (`submit`), or called as const by several threads at once (`map`; one that is not const-callable
/// is copied for each item). Results and arguments may be move-only.
///
/// At most `workers()` tasks run at a time, in the order of submission. A task may submit to its own pool and
/// wait there: a thread that waits for a task that has not started runs it itself; else it gives its place to
/// another thread until the wait is over (so that for a moment more tasks may be under way). Therefore tasks
/// of one pool that wait for each other's futures do not block the pool, whatever its size.
///
/// Thread-safe, but for construction and destruction. The destructor finishes what was submitted; overdue tasks
/// it leaves behind with a thread of their own. In a forked child the pool is closed (`PoolClosed`) and its
/// destructor does nothing; a pool made before a fork keeps working in the parent.
///
/// How to wait for ever: tasks that wait for each other in a circle; a task that never ends, without a
/// timeout, and the pool's destructor; more than 256 tasks that wait for something other than futures.
///
/// Example:
///
///     retinue::ThreadPool pool;
///     auto page = pool.submit(download, url);
///     for (const auto& row : pool.map(parse, rows)) show(row);
class ThreadPool : public ExecutorInterface<ThreadPool> {
 public:
  /// A pool of `workers` threads; 0: one for each CPU that this process may use (`cpu_count()`). The threads
  /// are started when they are first needed. Throws std::bad_alloc.
  explicit ThreadPool(unsigned workers = 0) : ThreadPool(with_workers(workers)) {}
  /// With an initializer, throws what it throws in the first thread where it does, and ResourceExhausted if the
  /// threads cannot be started.
  explicit ThreadPool(const ThreadPoolOptions& options);
  ThreadPool(ThreadPool&&) noexcept = default;
  ThreadPool& operator=(ThreadPool&&) = delete;
  /// Finishes what was submitted, as `shutdown()` does.
  ~ThreadPool();

  unsigned workers() const { return detail::worker_count(core()); }
  /// For schedulers: what runs this pool's tasks.
  detail::Ref<detail::Backend> backend() const {
    core();
    return detail::make_local_backend(core_);
  }
  ThreadPoolStats stats() const { return detail::stats_of(core()); }

  /// Takes no more tasks (`PoolClosed`), but from the pool's own tasks, finishes those submitted, or cancels those that
  /// have not started (`Cancelled`), and ends the threads. A second call waits for the first. In a task of the pool
  /// itself it does not wait.
  void shutdown(bool cancel_pending = false) { detail::shut_down(core(), cancel_pending); }

  template <class F, class... A>
    requires std::invocable<std::decay_t<F>, std::decay_t<A>...>
  auto submit_task(const TaskOptions& options, F&& f, A&&... args) {
    using R = std::remove_cvref_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<A>...>>;
    return submit_to<R>(core(), options, std::forward<F>(f), std::forward<A>(args)...);
  }

  template <class F, class... Rs>
  auto map_tasks(const TaskOptions& options, detail::Order order, F&& f, Rs&&... inputs) {
    using Function = std::decay_t<F>;
    using T = detail::MapValue<Function, detail::Element<Rs>...>;
    core();
    if (!detail::takes_tasks(*core_) && !detail::on_thread_of(*core_)) {
      throw PoolClosed("this ThreadPool was shut down, or made before a fork, and takes no more maps");
    }
    if (const detail::ChosenOptions chosen = options; chosen.timeout.count() != 0) {
      const auto submit = [core = core_](const TaskOptions& each, auto&& call) {
        return submit_to<T>(*core, each, std::forward<decltype(call)>(call));
      };
      const std::size_t look_ahead = chosen.look_ahead != 0 ? chosen.look_ahead : std::size_t{4} * workers();
      return MapRange<T>(std::make_unique<detail::TimedMap<T, Function, decltype(submit), Rs...>>(
          options, look_ahead, order, submit, std::forward<F>(f), std::forward<Rs>(inputs)...));
    }
    return MapRange<T>(std::make_unique<detail::ThreadMap<T, Function, Rs...>>(
        core_, options, order, std::forward<F>(f), std::forward<Rs>(inputs)...));
  }

  /// See detail::Access. A task past its timeout goes on when nobody waits for it any more.
  detail::Access access(const TaskOptions& options, const void*) const noexcept {
    return detail::ChosenOptions(options).timeout.count() == 0 ? detail::Access::lent : detail::Access::copied;
  }

 private:
  static ThreadPoolOptions with_workers(unsigned workers) {
    ThreadPoolOptions options;
    options.workers = workers;
    return options;
  }

  template <class R, class F, class... A>
  static Future<R> submit_to(detail::ThreadCore& core, const TaskOptions& options, F&& f, A&&... args) {
    using Task = detail::CallTask<R, std::decay_t<F>, std::decay_t<A>...>;
    detail::Ref<Task> task(
        new Task(&core, detail::ChosenOptions(options).timeout, std::forward<F>(f), std::forward<A>(args)...));
    try {
      detail::enqueue(core, task.get());
    } catch (...) {
      // cppcheck-suppress ignoredReturnValue ; takes it for a unique_ptr's
      task->release();  // the queue's reference
      throw;
    }
    return Future<R>::template on<&Task::take>(std::move(task));
  }

  /// The core, or throws Error if this pool was moved from.
  detail::ThreadCore& core() const;

  std::shared_ptr<detail::ThreadCore> core_;
};

}  // namespace retinue
