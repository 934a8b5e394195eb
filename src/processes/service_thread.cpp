#include "service_thread.hpp"

#include <mutex>
#include <unistd.h>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/owner_doorbell.hpp>
#include <retinue/error.hpp>

#include "system/calls.hpp"
#include "system/signals.hpp"

namespace retinue::detail {

void ServiceThread::start(CoreRef pool) {
  const std::lock_guard lock(lock_.mutex());
  pool_ = std::move(pool);
  int error_number = 0;
  {
    const SignalsBlocked blocked;  // signal handlers run in the program's own threads
    error_number = sys::pthread_create(
        &thread_,
        [](void* service) -> void* {
          static_cast<ServiceThread*>(service)->serve();
          return nullptr;
        },
        this);
  }
  if (error_number != 0) {
    pool_ = {};
    throw_call_failed("pthread_create", error_number, "the pool's service thread");
  }
  started_ = true;
}

void ServiceThread::stop() noexcept {
  if (!started_) return;
  stop_.store(true, std::memory_order_release);
  plan_.ring_service();
  if (is_this()) pthread_detach(thread_);
  else pthread_join(thread_, nullptr);
}

void ServiceThread::serve() noexcept {
  pthread_setname_np(pthread_self(), "retinue-service");
  OwnerDoorbell::keep_sleeps_short();
  {
    const std::lock_guard lock(lock_.mutex());  // held by `start` until it has stored thread_
  }
  Doorbell& doorbell = plan_.memory.control->service_doorbell;
  for (;;) {
    doorbell.drain();  // before any look at what it may have been rung for
    if (stop_.load(std::memory_order_acquire)) break;
    const Deadline deadline = round();
    doorbell.wait(deadline);
  }
  while (has_pending_callbacks()) run_pending_callbacks();
  const CoreRef last = std::move(pool_);  // this object may end with it
}

Deadline ServiceThread::round() noexcept {
  const Deadline next = chores_();
  run_pending_callbacks();
  return next;
}

void ServiceThread::run_pending_callbacks() noexcept {
  TaskState* next = nullptr;
  {
    const std::lock_guard lock(lock_.mutex());
    next = open_.take_pending_callbacks();
  }
  if (next == nullptr) return;
  call(plan_.hooks->before_callbacks);
  while (TaskState* task = next) {
    next = task->next;
    std::vector<std::function<void()>> callbacks;
    {
      const std::lock_guard lock(lock_.mutex());
      callbacks.swap(task->callbacks);
    }
    for (auto& callback : callbacks) {
      try {
        callback();
      } catch (...) {
        // Promised: what a callback throws is dropped.
      }
      if (owner_.made_elsewhere()) _exit(0);  // it forked and let its child return: no second service thread
    }
    callbacks.clear();
    task->release();
  }
  call(plan_.hooks->after_callbacks);
}

bool ServiceThread::has_pending_callbacks() const {
  const std::lock_guard lock(lock_.mutex());
  return open_.has_pending_callbacks();
}

}  // namespace retinue::detail
