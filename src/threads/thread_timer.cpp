#include "thread_timer.hpp"

#include <iterator>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

#include <retinue/error.hpp>

#include "thread_core.hpp"
#include "system/signals.hpp"
#include "system/thread_start.hpp"

namespace retinue::detail {

ThreadTimer::Deadlines::iterator ThreadTimer::watch(ThreadTask& task, ThreadWorker* worker) {
  // Past some two centuries the clock would wrap: as good as for ever.
  const auto room = Clock::time_point::max() - Clock::now();
  const auto when = Clock::now() + std::min<Clock::duration>(task.timeout(), room);
  task.add_ref();
  Watched watched{Ref<ThreadTask>(&task), worker};
  const std::lock_guard lock(mutex_);
  const auto it = deadlines_.emplace(when, std::move(watched));
  if (!thread_.joinable() && !stopping_) {
    const SignalsBlocked blocked;  // signals are for the program's own threads
    try {
      thread_ = new_thread([this, core = core_.shared_from_this()] { live(); });
    } catch (const std::system_error& e) {
      deadlines_.erase(it);
      throw ResourceExhausted("a ThreadPool could not start the thread that watches time limits", e.code().value());
    } catch (...) {
      deadlines_.erase(it);
      throw;
    }
  } else if (it == deadlines_.begin()) {
    changed_.notify_one();
  }
  return it;
}

void ThreadTimer::forget(Deadlines::iterator watched) noexcept {
  const std::lock_guard lock(mutex_);
  deadlines_.erase(watched);
}

void ThreadTimer::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  if (!thread_.joinable()) return;
  if (thread_.get_id() == std::this_thread::get_id()) {  // a callback has dropped the pool
    thread_.detach();
  } else {
    thread_.join();
  }
}

void ThreadTimer::live() noexcept {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    auto it = deadlines_.begin();
    while (it != deadlines_.end() && it->second.ended) ++it;
    if (it == deadlines_.end()) {
      changed_.wait(lock);
      continue;
    }
    if (const auto when = it->first; Clock::now() < when) {
      changed_.wait_until(lock, when);
      continue;
    }
    std::uintptr_t state = 0;
    if (!it->second.task->end_quietly(ThreadTask::kTimedOut, state)) {
      it->second.ended = true;
      continue;
    }
    core_.overdue(*it->second.worker);
    const Ref<ThreadTask> task = std::move(it->second.task);
    deadlines_.erase(it);
    lock.unlock();  // callbacks may do anything
    task->notify(state);
    if (core_.made_elsewhere()) _exit(0);  // a callback forked and let its child return
    lock.lock();
  }
}

}  // namespace retinue::detail
