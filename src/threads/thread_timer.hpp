// Deadlines of running tasks of a ThreadPool.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include <retinue/detail/threads/thread_task.hpp>

namespace retinue::detail {

class ThreadWorker;

/// Ends overdue tasks with kTimedOut from a thread of its own, which is started with the first deadline. Any
/// thread may call it, but for `stop`.
class ThreadTimer {
 public:
  struct Watched {
    Ref<ThreadTask> task;
    ThreadWorker* worker;
    bool ended = false;  // in time, but its thread has not yet said so by `forget`
  };
  using Deadlines = std::multimap<Clock::time_point, Watched>;

  explicit ThreadTimer(ThreadCore& core) noexcept : core_(core) {}
  ~ThreadTimer() { stop(); }

  /// Throws std::bad_alloc, or std::system_error if the thread cannot be started; then nothing is watched.
  Deadlines::iterator watch(ThreadTask& task, ThreadWorker* worker);
  /// Forgets a task that ended in time.
  void forget(Deadlines::iterator watched) noexcept;
  /// Waits until the timer is through with a task that it has ended (and forgotten).
  void settle() noexcept { const std::lock_guard lock(mutex_); }
  /// Ends the thread. What is still watched no longer times out.
  void stop() noexcept;

 private:
  void live() noexcept;

  ThreadCore& core_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  Deadlines deadlines_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace retinue::detail
