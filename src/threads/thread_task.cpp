#include <retinue/detail/threads/thread_task.hpp>

#include <algorithm>

#include <retinue/detail/tasks/owner_doorbell.hpp>

#include "thread_core.hpp"
#include "system/fork_watch.hpp"

namespace retinue::detail {

static_assert(alignof(ThreadCore) >= 64, "the address of a pool leaves its low bits to the generation");

ThreadTask::ThreadTask(ThreadCore* core, std::chrono::nanoseconds timeout) noexcept
    : Completion(core != nullptr ? 2 : 1),
      timeout_(static_cast<float>(std::min<long long>(timeout.count(), 3'000'000'000'000'000'000))),
      home_(reinterpret_cast<std::uintptr_t>(core) | (fork_generation() & kGeneration)) {}

bool ThreadTask::claim() noexcept {
  std::uintptr_t state = kReady;
  do {
    if ((state & kPhases) != kReady) return false;
  } while (
      !state_.compare_exchange_weak(state, state | kRunning, std::memory_order_acq_rel, std::memory_order_acquire));
  order_after(this);  // its submission
  return true;
}

bool ThreadTask::end_quietly(Phase phase, std::uintptr_t& state) noexcept {
  state = kRunning;
  order_before(&state_);
  while (!state_.compare_exchange_weak(state, phase, std::memory_order_acq_rel, std::memory_order_acquire)) {
    if ((state & kPhases) != kRunning) return false;
  }
  order_after(&state_);  // who has registered callbacks
  return true;
}

void ThreadTask::run_claimed() noexcept {
  if (timeout_ != 0) {
    if (timeout_ < 0) {
      drop_call(nullptr);
      end(kTimedOut);
      return;
    }
    if (core() != nullptr) return core()->run_timed(*this, ThreadWorker::of_this_thread());
  }
  const Phase phase = run();
  if (!end(phase)) drop_outcome(phase);
}

void ThreadTask::notify_waiters(std::uintptr_t state) noexcept {
  if (state & kArmed) OwnerDoorbell::of_this_process().ring(doorbell_mask());  // arm() has made the doorbell
  Callback* newest = reinterpret_cast<Callback*>(state & kCallbacks);
  Callback* oldest = nullptr;
  while (newest != nullptr) {
    Callback* const next = std::exchange(newest->next, oldest);
    oldest = std::exchange(newest, next);
  }
  while (oldest != nullptr) {
    try {
      oldest->call();
    } catch (...) {  // promised to be dropped
    }
    delete std::exchange(oldest, oldest->next);
  }
}

bool ThreadTask::wait(const Deadline& deadline) {
  if (done()) return true;
  Completion* const self = this;
  return wait_on({&self, 1}, deadline, doorbell_mask());
}

bool ThreadTask::cancel(bool) {
  std::uintptr_t state = state_.load(std::memory_order_acquire);
  do {
    if ((state & kPhases) != kReady) return (state & kPhases) == kCancelled;
  } while (!state_.compare_exchange_weak(state, kCancelled, std::memory_order_acq_rel, std::memory_order_acquire));
  order_after(this);
  order_after(&state_);
  drop_call(nullptr);
  notify(state);
  return true;
}

void ThreadTask::on_done(std::function<void()> callback) {
  auto node = std::make_unique<Callback>(Callback{std::move(callback), nullptr});
  order_before(&state_);
  static_assert(alignof(std::max_align_t) >= 16, "the lowest four bits of a Callback's address are free");
  std::uintptr_t state = state_.load(std::memory_order_acquire);
  for (;;) {
    if ((state & kPhases) > kRunning || left_behind()) break;
    node->next = reinterpret_cast<Callback*>(state & kCallbacks);
    const std::uintptr_t with = (state & ~kCallbacks) | reinterpret_cast<std::uintptr_t>(node.get());
    if (state_.compare_exchange_weak(state, with, std::memory_order_acq_rel, std::memory_order_acquire)) {
      (void)node.release();
      return;
    }
  }
  try {
    node->call();
  } catch (...) {
  }
}

const OwnerDoorbell& ThreadTask::doorbell() const { return OwnerDoorbell::of_this_process(); }

bool ThreadTask::arm() {
  OwnerDoorbell::of_this_process();
  std::uintptr_t state = state_.load(std::memory_order_acquire);
  do {
    if ((state & kPhases) > kRunning || left_behind()) return false;
    if (state & kArmed) return true;
  } while (!state_.compare_exchange_weak(state, state | kArmed, std::memory_order_acq_rel, std::memory_order_acquire));
  return true;
}

bool ThreadTask::left_behind() const noexcept {
  return home_ > kGeneration && (home_ & kGeneration) != (fork_generation() & kGeneration);
}

// One of 31 bits, so that the end of a task wakes few besides those who wait for it.
std::uint32_t ThreadTask::doorbell_mask() const noexcept {
  return std::uint32_t{1} << ((reinterpret_cast<std::uintptr_t>(this) >> 6) % 31);
}

void ThreadTask::throw_end(Phase phase) const {
  switch (phase) {
    case kCancelled: throw Cancelled("the task was cancelled before a thread started it");
    case kTimedOut:
      if (timeout_ < 0) throw TaskTimeout("the task was not run: its timeout had passed when it was submitted");
      throw TaskTimeout("the task ran longer than its timeout of " +
                        std::to_string(std::chrono::duration<double, std::milli>(timeout()).count()) +
                        " ms; its thread cannot be stopped and goes on unseen (a ProcessPool can stop it)");
    case kTaken: throw Error("the value of this future was moved out by an earlier get(), for it cannot be copied");
    default:
      throw PoolClosed(
          "the task was under way in the parent process when this process was forked; its future ends "
          "there, make a pool of your own here");
  }
}

}  // namespace retinue::detail
