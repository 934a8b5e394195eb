#include "thread_core.hpp"

#include <unistd.h>

#include "system/futex.hpp"

namespace retinue::detail {

ThreadWorker*& ThreadWorker::of_this_thread() noexcept {
  thread_local ThreadWorker* worker = nullptr;
  return worker;
}

void ThreadWorker::live() noexcept {
  of_this_thread() = this;
  place_of_this_thread() = this;
  for (;;) {
    if (core_.surplus_.load(std::memory_order_relaxed) > 0 && !core_.rest_if_surplus(*this)) break;
    ThreadTask* task = next_task();
    if (task == nullptr) task = search();
    if (task == nullptr) {
      if (!core_.sleep(*this)) break;
      continue;
    }
    if (searching_) {
      searching_ = false;
      core_.end_search();
    }
    run(task);
  }
  place_of_this_thread() = nullptr;
  of_this_thread() = nullptr;
}

ThreadTask* ThreadWorker::next_task() noexcept {
  // A queue that outlasts a batch is fed by its own tasks. Then the intake comes first now and then, lest they
  // keep tasks from outside waiting for ever; before, it would only break the order of submission.
  constexpr unsigned kIntakeTurn = 61;
  if (++turns_ == kIntakeTurn) {
    turns_ = 0;
    if (ThreadTask* const task = core_.take_batch(*this)) return task;
  }
  if (ThreadTask* const task = queue_.pop()) return task;
  turns_ = 0;
  if (ThreadTask* const task = core_.take_batch(*this)) return task;
  return core_.steal(*this);
}

ThreadTask* ThreadWorker::search() noexcept {
  if (!searching_) {
    // Half of the threads at most search; more would only find the same.
    const std::uint64_t census = core_.census_.load(std::memory_order_relaxed);
    if (core_.workers_ > 1 && 2 * Census::searching(census) >= core_.workers_) return nullptr;
    core_.census_.fetch_add(Census::kSearching, std::memory_order_seq_cst);
    searching_ = true;
  }
  ThreadTask* task = nullptr;
  spin_.until([&] {
    if (core_.ending_.load(std::memory_order_relaxed)) return true;
    if (core_.any_work()) task = next_task();
    return task != nullptr;
  });
  return task;
}

void ThreadWorker::sleep_until_woken() noexcept {
  while (woken_.load(std::memory_order_acquire) == 0) futex_wait(woken_, 0, ~std::uint32_t{0}, std::nullopt);
}

void ThreadWorker::run(ThreadTask* task) noexcept {
  if (task->claim()) {
    run_counted(task);
  } else {
    cancelled_.store(cancelled_.load(std::memory_order_relaxed) + (task->phase() == ThreadTask::kCancelled),
                     std::memory_order_relaxed);
  }
  task->release();
}

void ThreadWorker::run_counted(ThreadTask* task) noexcept {
  const std::uint32_t depth = depth_.load(std::memory_order_relaxed);
  depth_.store(depth + 1, std::memory_order_relaxed);
  task->run_claimed();
  if (core_.made_elsewhere()) _exit(0);  // it forked and let its child return: no second thread of the pool
  depth_.store(depth, std::memory_order_relaxed);
  finished_.store(finished_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

bool ThreadWorker::run_in_place(std::span<Completion* const> set) noexcept {
  if (depth_.load(std::memory_order_relaxed) >= kDeepest || core_.made_elsewhere()) return false;
  for (Completion* const completion : set) {
    auto* const task = dynamic_cast<ThreadTask*>(completion);
    if (task == nullptr || task->core() != &core_ || !task->claim()) continue;
    // A task leaves its queue with its submitter's wait where that is easy; else it goes when its turn comes.
    const bool removed = queue_.remove_last(task);
    run_counted(task);
    if (removed) task->release();
    return true;
  }
  return false;
}

void ThreadWorker::leave() noexcept {
  if (!core_.made_elsewhere()) core_.release_place(*this);
}

void ThreadWorker::come_back() noexcept {
  if (!core_.made_elsewhere()) core_.reacquire_place(*this);
}

}  // namespace retinue::detail
