// A queue of tasks, first in, first out, whose links are in the tasks.
#pragma once

#include <atomic>
#include <cstdint>

#include <retinue/detail/threads/thread_task.hpp>

#include "system/short_lock.hpp"

namespace retinue::detail {

/// Holds one reference to each task in it. Any thread may call it.
class TaskQueue {
 public:
  /// Tasks in it; may be late by what others do at this moment.
  std::uint32_t count() const noexcept { return count_.load(std::memory_order_seq_cst); }
  std::uint32_t roughly() const noexcept { return count_.load(std::memory_order_relaxed); }

  /// Appends; `allowed()` is asked under the lock, and false leaves the queue as it is.
  template <class Allowed>
  bool push(ThreadTask* task, Allowed&& allowed) noexcept {
    lock_.lock();
    const bool push = allowed();
    if (push) {
      append(task);
      count_.store(roughly() + 1, std::memory_order_seq_cst);
    }
    lock_.unlock();
    return push;
  }
  ThreadTask* pop() noexcept {
    if (count() == 0) return nullptr;
    lock_.lock();
    ThreadTask* const task = pop_locked();
    lock_.unlock();
    return task;
  }
  /// Takes `task` out if it is the last one, as a task is whose submitter waits for it.
  bool remove_last(ThreadTask* task) noexcept {
    lock_.lock();
    const bool last = last_ == task;
    if (last) {
      last_ = task->previous_;
      (last_ != nullptr ? last_->next_ : first_) = nullptr;
      count_.store(roughly() - 1, std::memory_order_seq_cst);
    }
    lock_.unlock();
    return last;
  }
  /// Takes the first task, and moves up to `most` - 1 following ones, at most one in `share` of what is left,
  /// into `to`.
  ThreadTask* pop_batch(TaskQueue& to, std::uint32_t share, std::uint32_t most) noexcept {
    if (count() == 0) return nullptr;
    lock_.lock();
    ThreadTask* const task = pop_locked();
    const std::uint32_t left = roughly();
    std::uint32_t more = left / share;
    if (more > most - 1) more = most - 1;
    ThreadTask* const first = first_;
    ThreadTask* last = nullptr;
    if (more > 0) {
      last = first_;
      for (std::uint32_t i = 1; i < more; ++i) last = last->next_;
      first_ = last->next_;
      (first_ != nullptr ? first_->previous_ : last_) = nullptr;
      count_.store(left - more, std::memory_order_seq_cst);
    }
    lock_.unlock();
    if (more > 0) to.append_all(first, last, more);
    return task;
  }
  void lock() noexcept { lock_.lock(); }
  void unlock() noexcept { lock_.unlock(); }

 private:
  void append(ThreadTask* task) noexcept {
    task->next_ = nullptr;
    task->previous_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = task;
    last_ = task;
  }
  void append_all(ThreadTask* first, ThreadTask* last, std::uint32_t more) noexcept {
    lock_.lock();
    last->next_ = nullptr;
    first->previous_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = first;
    last_ = last;
    count_.store(roughly() + more, std::memory_order_seq_cst);
    lock_.unlock();
  }
  ThreadTask* pop_locked() noexcept {
    ThreadTask* const task = first_;
    if (task == nullptr) return nullptr;
    first_ = task->next_;
    (first_ != nullptr ? first_->previous_ : last_) = nullptr;
    count_.store(roughly() - 1, std::memory_order_seq_cst);
    return task;
  }

  ShortLock lock_;
  std::atomic<std::uint32_t> count_{0};
  ThreadTask* first_ = nullptr;
  ThreadTask* last_ = nullptr;
};

}  // namespace retinue::detail
