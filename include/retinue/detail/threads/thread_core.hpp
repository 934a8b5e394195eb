// What the templates of ThreadPool need of its machinery.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <retinue/detail/threads/thread_task.hpp>

namespace retinue {

/// How a ThreadPool is made.
struct ThreadPoolOptions {
  /// Threads that run tasks; 0 means `cpu_count()`. They are started when work first needs them.
  unsigned workers = 0;
  /// Called once in each thread before its first task. With an initializer the threads are started at once,
  /// and the constructor throws what it throws.
  std::function<void()> initializer;
  /// The threads' name as debuggers and `top -H` show it; at most 15 bytes count.
  std::string name = "retinue";
};

/// What a ThreadPool has done so far, and its state now.
struct ThreadPoolStats {
  std::uint64_t finished = 0;  ///< tasks run to an end: value, exception or timeout; the items of a map are not counted
  std::uint64_t cancelled = 0;  ///< tasks found cancelled when their turn came
  std::uint64_t queued = 0;     ///< now waiting for a thread
  unsigned workers = 0;         ///< tasks that may run at once
  unsigned threads = 0;         ///< started, with those that stand in for waiting or overdue ones
};

namespace detail {

std::shared_ptr<ThreadCore> make_thread_core(const ThreadPoolOptions& options);
/// Takes over one reference to `task` and runs it later. Throws PoolClosed or ResourceExhausted, and then
/// takes over nothing. Any thread.
void enqueue(ThreadCore& core, ThreadTask* task);
/// True while the pool takes tasks from outside.
bool takes_tasks(const ThreadCore& core) noexcept;
/// True if the pool was made in the parent of this process.
bool is_made_elsewhere(const ThreadCore& core) noexcept;
/// True in a thread of this pool.
bool on_thread_of(const ThreadCore& core) noexcept;
/// True if tasks wait for a thread.
bool work_waiting(const ThreadCore& core) noexcept;
unsigned worker_count(const ThreadCore& core) noexcept;
ThreadPoolStats stats_of(const ThreadCore& core) noexcept;
/// Takes no more tasks from outside; with `cancel_pending` cancels what has not started. Then waits until
/// all has ended and ends the threads; in a thread of the pool itself it does not wait. In a forked child it
/// does nothing.
void shut_down(ThreadCore& core, bool cancel_pending);

}  // namespace detail
}  // namespace retinue
