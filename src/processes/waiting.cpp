// How threads of the owner wait: poll a little, then sleep on the owner's bell.
#include <algorithm>
#include <unistd.h>

#include <retinue/detail/tasks/owner_bell.hpp>

#include "system/fork_watch.hpp"
#include "pool_core.hpp"

namespace retinue::detail {
namespace {

/// Each thread learns for itself how long its waits are.
thread_local SpinBudget wait_spin;

constexpr std::uint64_t kBulk = 256;  // tasks ahead from which on results are waited for in bulk

}  // namespace

bool PoolCore::foreign() const noexcept { return generation_ != fork_generation(); }

bool PoolCore::in_forked_child() const noexcept {
  return foreign() && !(is_of_another_copy(generation_) && getpid() == plan_.owner);
}

bool PoolCore::on_service_thread() const noexcept {
  return service_started_ && pthread_equal(pthread_self(), service_thread_) != 0;
}

// In a forked child nobody will ever end the parent's tasks: those not ended at the fork end here, without
// the mutex, which a thread that does not exist here may hold.
bool PoolCore::end_if_foreign(TaskState& task) noexcept {
  if (!foreign()) return false;
  auto pending = Ending::pending;
  task.ending.compare_exchange_strong(pending, Ending::closed);
  return true;
}

std::string PoolCore::closed_why() const {
  if (in_forked_child()) return "it belongs to the process that made its pool, and this is a forked child";
  const std::lock_guard lock(mutex_);
  return closed_why_.empty() ? "the pool was shut down" : closed_why_;
}

bool PoolCore::done(TaskState& task) noexcept {
  if (task.ended() || end_if_foreign(task)) return true;
  const std::uint64_t position = task.position.load(std::memory_order_acquire);
  if (position == TaskState::kNowhere) return false;
  const std::uint64_t state = plan_.memory.slot(position).state.load(std::memory_order_acquire);
  return (State::tag(state) == Tag::done && State::is_at(state, position)) || task.ended();
}

// Sleeps until `ready()`, called with the mutex held, says true; it must arm what it waits for. The
// service thread does its rounds meanwhile, so that a callback that waits cannot stop the pool.
template <class Ready>
bool PoolCore::sleep_until(const Deadline& deadline, const std::uint32_t& mask, Ready&& ready) {
  OwnerBell& bell = *plan_.owner_bell;
  for (;;) {
    const std::uint32_t seen = bell.value();  // Model: wait
    {
      const Hold hold(*this);
      if (ready()) return true;
    }
    if (deadline && Clock::now() >= *deadline) return false;
    if (on_service_thread()) service_round();
    bell.wait(seen, deadline, mask);
  }
}

std::chrono::nanoseconds PoolCore::longest_spin(const Deadline& deadline) const noexcept {
  if (on_service_thread()) return {};
  if (!deadline) return plan_.longest_spin;
  const auto now = Clock::now();
  // One long past may be too far from now for a difference.
  return *deadline > now ? std::min<std::chrono::nanoseconds>(plan_.longest_spin, *deadline - now)
                         : std::chrono::nanoseconds::zero();
}

bool PoolCore::wait(TaskState& task, const Deadline& deadline) {
  if (task.ended() || end_if_foreign(task)) return true;
  const auto longest = longest_spin(deadline);
  const bool spins = longest.count() > 0;
  if (spins && wait_spin.until(longest, crowded(), [&](unsigned look) {
        if (look % 32 == 31 && task.position.load(std::memory_order_relaxed) == TaskState::kNowhere) {
          const Hold hold(*this);
          pump();
        }
        return done(task);
      })) {
    const Hold hold(*this);
    if (harvest_if_done(task)) return true;
  }
  std::uint32_t mask = OwnerBell::kEveryone;
  const bool ended = sleep_until(deadline, mask, [&] {
    pump();
    while (!harvest_if_done(task)) {
      const std::uint64_t position = task.position.load(std::memory_order_relaxed);
      mask = position == TaskState::kNowhere ? OwnerBell::kEveryone
                                             : std::uint32_t{1} << (position & plan_.memory.slot_mask & 31);
      if (mark(task, State::kRingOwner)) return false;  // Model: arm
    }
    return true;
  });
  if (spins) wait_spin.slept();
  return ended;
}

bool PoolCore::arm(TaskState& task) {
  if (task.ended() || end_if_foreign(task)) return false;
  const Hold hold(*this);
  while (!harvest_if_done(task))
    if (mark(task, State::kRingOwner)) return true;
  return false;
}

void PoolCore::progress() {
  if (foreign()) return;
  if (on_service_thread()) {
    service_round();
    return;
  }
  const Hold hold(*this);
  pump();
}

void PoolCore::on_done(TaskState& task, std::function<void()> callback) {
  if (!task.ended() && !end_if_foreign(task)) {
    const Hold hold(*this);
    if (!harvest_if_done(task)) {
      task.callbacks.push_back(std::move(callback));
      if (!mark(task, State::kRingService)) plan_.ring_service();
      return;
    }
  }
  try {
    callback();
  } catch (...) {
    // Promised: what a callback throws is dropped.
  }
}

bool PoolCore::collect() {
  refuse_foreign();
  const Hold hold(*this);
  return !pump();
}

void PoolCore::wait_for_any_of(TaskState& first, std::span<TaskState* const> others, const std::atomic<bool>& nudged,
                               const Deadline& deadline) {
  const auto longest = longest_spin(deadline);
  const bool spins = longest.count() > 0;
  if (spins && wait_spin.until(longest, crowded(), [&](unsigned look) {
        return done(first) || (look % 8 == 7 && !others.empty() && done(*others[look / 8 % others.size()]));
      }))
    return;
  sleep_until(deadline, OwnerBell::kEveryone, [&] {
    pump();
    if (nudged.load() || first.ended() || !mark(first, State::kRingOwner)) return true;
    for (TaskState* task : others)
      if (task->ended() || !mark(*task, State::kRingOwner)) return true;
    return false;
  });
  if (spins) wait_spin.slept();
}

bool PoolCore::sleep_for_bulk(TaskState& task, std::chrono::nanoseconds longest) {
  if (!crowded() || on_service_thread()) return false;
  sleep_until(Clock::now() + longest, OwnerBell::kEveryone, [&] {
    pump();
    return task.ended() || !mark(task, State::kRingOwner);
  });
  return true;
}

// The same for a map that takes results as they come: until the task half way down the slots is done.
bool PoolCore::sleep_for_half(std::chrono::nanoseconds longest) {
  if (!crowded() || on_service_thread()) return false;
  std::uint64_t half = 0;
  {
    const Hold hold(*this);
    if (tail_ - oldest_ < kBulk) return false;
    half = oldest_ + (tail_ - oldest_) / 2;
    const TaskState* task = owners_[half & plan_.memory.slot_mask];
    if (task == nullptr || task->position.load(std::memory_order_relaxed) != half) return false;
  }
  sleep_until(Clock::now() + longest, OwnerBell::kEveryone, [&] {
    pump();
    TaskState* task = owners_[half & plan_.memory.slot_mask];
    return task == nullptr || task->position.load(std::memory_order_relaxed) != half || !mark(*task, State::kRingOwner);
  });
  return true;
}

void PoolCore::wait_for_finished(const FinishedList& list, const std::atomic<bool>& nudged, const Deadline& deadline) {
  const auto longest = longest_spin(deadline);
  const bool spins = longest.count() > 0;
  if (spins && wait_spin.until(longest, crowded(), [&](unsigned look) {
        if (look % 16 != 15) return false;
        const Hold hold(*this);
        pump();
        return list.first != nullptr;
      }))
    return;
  bool looked = false;
  sleep_until(deadline, OwnerBell::kEveryone, [&] {
    const bool more = pump();
    if (nudged.load() || list.first != nullptr || (!more && looked)) return true;
    looked = true;
    while (!mark_what_ends_next()) {
      pump();
      if (list.first != nullptr) return true;
    }
    return false;
  });
  if (spins) wait_spin.slept();
}

void PoolCore::ring_owner() noexcept { plan_.owner_bell->ring(); }

bool PoolCore::wait_for_nudge(const std::atomic<bool>& nudged, const Deadline& deadline) {
  refuse_foreign();
  return sleep_until(deadline, OwnerBell::kEveryone, [&] {
    pump();
    return nudged.load();
  });
}

bool PoolCore::wait_until_idle(const Deadline& deadline) {
  if (in_forked_child()) return true;
  return sleep_until(deadline, OwnerBell::kEveryone, [&] {
    do {
      pump();
      if (unfinished_ == 0 || closed_) return true;
    } while (!mark_what_ends_next());
    return false;
  });
}

TaskState* PoolCore::take_finished(FinishedList& list) {
  refuse_foreign();
  const Hold hold(*this);
  return list.take();
}

}  // namespace retinue::detail
