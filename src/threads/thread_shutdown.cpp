// The beginning and the end of a ThreadPool's threads.
#include <pthread.h>
#include <system_error>

#include "thread_core.hpp"
#include "system/futex.hpp"

namespace retinue::detail {

// With an initializer all threads start at once, so that what it throws comes out of the constructor.
void ThreadCore::start_all() {
  for (unsigned i = 0; i < workers_; ++i) {
    lock_.lock();
    --open_places_;
    census_.fetch_add(Census::kSearching - Census::kIdle, std::memory_order_seq_cst);
    lock_.unlock();
    try {
      start_thread();
    } catch (const std::system_error& e) {
      withhold_place();
      shut_down(true);
      throw ResourceExhausted("a ThreadPool could not start its thread " + std::to_string(i), e.code().value());
    }
  }
  std::unique_lock guard(threads_mutex_);
  initialization_.changed.wait(guard, [this] { return initialization_.done >= workers_; });
  if (!initialization_.error) return;
  guard.unlock();
  shut_down(true);
  std::rethrow_exception(initialization_.error);
}

void ThreadCore::life_of(ThreadWorker& worker) noexcept {
  if (!name_.empty()) ::pthread_setname_np(::pthread_self(), name_.c_str());
  bool ready = true;
  if (initialization_.function) {
    std::exception_ptr error;
    try {
      initialization_.function();
    } catch (...) {
      error = std::current_exception();
      ready = false;
    }
    const std::lock_guard guard(threads_mutex_);
    ++initialization_.done;
    if (error && !initialization_.error) initialization_.error = error;
    initialization_.changed.notify_all();
  }
  if (ready) worker.live();
  lock_.lock();
  ++gone_;
  note_drained_locked();
  const bool last = ends_itself_ && ready && gone_ >= created_.load(std::memory_order_relaxed);
  lock_.unlock();
  if (!ready) withhold_place();
  if (last) timer_.stop();
  order_before(this);
}

bool ThreadCore::is_drained_locked() const noexcept {
  const unsigned created = created_.load(std::memory_order_acquire);
  std::size_t still = sleepers_.size() + spares_.size() + gone_;
  for (unsigned i = 0; i < created; ++i) still += all_[i]->is_abandoned();
  return still >= created && !any_work();
}

void ThreadCore::note_drained_locked() noexcept {
  if (!closing_ || drained_.load(std::memory_order_relaxed) != 0 || !is_drained_locked()) return;
  refusing_.store(true, std::memory_order_relaxed);
  drained_.store(1, std::memory_order_release);
  futex_wake(drained_, ~std::uint32_t{0});
  if (ends_itself_) end_threads_locked();
}

void ThreadCore::end_threads_locked() noexcept {
  ending_.store(true, std::memory_order_relaxed);
  for (auto* const resting : {&sleepers_, &spares_}) {
    for (ThreadWorker* const worker : *resting) {
      worker->woken_.store(1, std::memory_order_release);
      futex_wake(worker->woken_, ~std::uint32_t{0});
    }
    resting->clear();
  }
}

void ThreadCore::cancel_queued() noexcept {
  const auto cancel_all = [](TaskQueue& queue) {
    while (ThreadTask* const task = queue.pop()) {
      task->cancel(false);
      task->release();
    }
  };
  cancel_all(intake_);
  const unsigned created = created_.load(std::memory_order_acquire);
  for (unsigned i = 0; i < created; ++i) cancel_all(all_[i]->queue_);
}

void ThreadCore::shut_down(bool cancel_pending) {
  if (made_elsewhere()) return;
  intake_.lock();
  closed_.store(true, std::memory_order_relaxed);
  intake_.unlock();
  if (cancel_pending) {
    refusing_.store(true, std::memory_order_relaxed);
    cancel_queued();
  }

  ThreadWorker* const worker = ThreadWorker::of_this_thread();
  if (worker != nullptr && &worker->core() == this) {
    // It cannot wait for itself: the threads end when it is drained, and nobody joins them.
    const std::lock_guard guard(threads_mutex_);
    detached_ = true;
    for (auto& [_, thread] : threads_) thread.detach();
    threads_.clear();
    lock_.lock();
    closing_ = ends_itself_ = true;
    lock_.unlock();
    return;
  }

  const std::lock_guard one(shutdown_mutex_);
  lock_.lock();
  closing_ = true;
  note_drained_locked();
  lock_.unlock();
  {
    const AwayFromPlace away;  // it may be a thread of another pool
    while (drained_.load(std::memory_order_acquire) == 0) futex_wait(drained_, 0, ~std::uint32_t{0}, std::nullopt);
  }
  {
    const std::lock_guard guard(threads_mutex_);
    lock_.lock();
    end_threads_locked();
    // Threads whose tasks are overdue may run for ever: they own what they need and go on alone.
    for (auto& [of, thread] : threads_) {
      if (of->overdue_ > 0) thread.detach();
    }
    lock_.unlock();
    for (auto& [_, thread] : threads_) {
      if (thread.joinable()) thread.join();
    }
    threads_.clear();
  }
  timer_.stop();  // without threads_mutex_: it may be about to start a thread in an overdue one's place
}

// ---- what the templates call ----

std::shared_ptr<ThreadCore> make_thread_core(const ThreadPoolOptions& options) {
  auto core = std::make_shared<ThreadCore>(options);
  if (options.initializer) core->start_all();
  return core;
}
bool is_made_elsewhere(const ThreadCore& core) noexcept { return core.made_elsewhere(); }
bool takes_tasks(const ThreadCore& core) noexcept { return !core.made_elsewhere() && !core.closed(); }
bool on_thread_of(const ThreadCore& core) noexcept {
  const ThreadWorker* const worker = ThreadWorker::of_this_thread();
  return worker != nullptr && &worker->core() == &core && !core.made_elsewhere();
}
bool work_waiting(const ThreadCore& core) noexcept { return core.any_work(); }
unsigned worker_count(const ThreadCore& core) noexcept { return core.workers(); }
ThreadPoolStats stats_of(const ThreadCore& core) noexcept { return core.stats(); }
void shut_down(ThreadCore& core, bool cancel_pending) {
  core.shut_down(cancel_pending);
  order_before(&core);  // an overdue thread may be the last to hold it
}

}  // namespace retinue::detail
