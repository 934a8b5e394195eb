#include "waiting.hpp"

#include <algorithm>
#include <utility>

#include <retinue/detail/tasks/owner_doorbell.hpp>

#include "slot_checks.hpp"
#include "spin.hpp"
#include "way_giver.hpp"

namespace retinue::detail {
namespace {

/// Each thread learns for itself how long its waits are.
thread_local SpinBudget wait_spin;

constexpr std::uint64_t kBulk = 256;  // tasks ahead from which on results are waited for in bulk

}  // namespace

bool Waiting::end_if_made_elsewhere(TaskState& task) const noexcept {
  if (!owner_.made_elsewhere()) return false;
  auto pending = Ending::pending;
  task.ending.compare_exchange_strong(pending, Ending::closed);
  return true;
}

bool Waiting::done(TaskState& task) noexcept {
  if (task.ended() || end_if_made_elsewhere(task)) return true;
  const std::uint64_t position = task.position.load(std::memory_order_acquire);
  if (position == TaskState::kNowhere) return false;
  const std::uint64_t state = plan_.memory.slot(position).state.load(std::memory_order_acquire);
  return (SlotState::tag(state) == Tag::done && SlotState::is_at(state, position)) || task.ended();
}

bool Waiting::is_running(const TaskState& task) const noexcept {
  const std::uint64_t position = task.position.load(std::memory_order_acquire);
  if (position == TaskState::kNowhere || task.ended() || owner_.made_elsewhere()) return false;
  const std::uint64_t state = plan_.memory.slot(position).state.load(std::memory_order_acquire);
  return SlotState::is_at(state, position) && SlotState::tag(state) == Tag::running;
}

template <class Look>
bool Waiting::poll(std::chrono::nanoseconds longest, Look&& look) {
  std::atomic<std::uint32_t>& shown = plan_.memory.control->waiter_cpu;
  struct Shown {
    std::atomic<std::uint32_t>& cpu;
    bool is_set = false;
    ~Shown() {
      if (is_set) cpu.store(0, std::memory_order_relaxed);
    }
  } mine{shown};
  return wait_spin.until(longest, crowded(), std::forward<Look>(look), [&] {
    if (const std::uint32_t here = this_cpu(); shown.load(std::memory_order_relaxed) != here)
      shown.store(here, std::memory_order_relaxed);
    mine.is_set = true;
    return true;
  });
}

// Sleeps until `ready()`, called with the mutex held, says true; it must arm what it waits for.
template <class Ready>
bool Waiting::sleep_until(const Deadline& deadline, const std::uint32_t& mask, Ready&& ready) {
  OwnerDoorbell& doorbell = *plan_.owner_doorbell;
  for (;;) {
    const std::uint32_t seen = doorbell.value();  // Model: wait
    {
      const PoolLock::Hold hold(lock_);
      if (ready()) return true;
    }
    if (deadline && Clock::now() >= *deadline) return false;
    if (service_.is_this()) service_.round();
    doorbell.wait(seen, deadline, mask);
  }
}

std::chrono::nanoseconds Waiting::longest_spin(const Deadline& deadline) const noexcept {
  if (service_.is_this()) return {};
  if (!deadline) return plan_.longest_spin;
  const auto now = Clock::now();
  // One long past may be too far from now for a difference.
  return *deadline > now ? std::min<std::chrono::nanoseconds>(plan_.longest_spin, *deadline - now)
                         : std::chrono::nanoseconds::zero();
}

bool Waiting::wait(TaskState& task, const Deadline& deadline) {
  if (task.ended() || end_if_made_elsewhere(task)) return true;
  const auto longest = longest_spin(deadline);
  const bool spins = longest.count() > 0;
  if (spins && poll(longest, [&](unsigned look) {
        if (look % 32 == 31 && task.position.load(std::memory_order_relaxed) == TaskState::kNowhere) {
          const PoolLock::Hold hold(lock_);
          ring_.collect();
        }
        return done(task);
      })) {
    const PoolLock::Hold hold(lock_);
    ring_.collect();  // with those behind it, which the caller may ask for next
    if (ring_.collect_if_done(task)) return true;
  }
  std::uint32_t mask = OwnerDoorbell::kEveryone;
  const bool ended = sleep_until(deadline, mask, [&] {
    ring_.collect();
    while (!ring_.collect_if_done(task)) {
      const std::uint64_t position = task.position.load(std::memory_order_relaxed);
      mask = position == TaskState::kNowhere ? OwnerDoorbell::kEveryone
                                             : std::uint32_t{1} << (position & plan_.memory.slot_mask & 31);
      if (ring_.request_ring(task, SlotState::kRingOwner)) return false;  // Model: arm
    }
    return true;
  });
  if (spins) wait_spin.slept();
  return ended;
}

bool Waiting::arm(TaskState& task) {
  if (task.ended() || end_if_made_elsewhere(task)) return false;
  const PoolLock::Hold hold(lock_);
  while (!ring_.collect_if_done(task))
    if (ring_.request_ring(task, SlotState::kRingOwner)) return true;
  return false;
}

void Waiting::progress() {
  if (owner_.made_elsewhere()) return;
  if (service_.is_this()) {
    service_.round();
    return;
  }
  const PoolLock::Hold hold(lock_);
  ring_.collect();
}

void Waiting::wait_for_any_of(TaskState& first, std::span<TaskState* const> others, const std::atomic<bool>& nudged,
                              const Deadline& deadline) {
  const auto longest = longest_spin(deadline);
  const bool spins = longest.count() > 0;
  if (spins && poll(longest, [&](unsigned look) {
        return done(first) || (look % 8 == 7 && !others.empty() && done(*others[look / 8 % others.size()]));
      }))
    return;
  sleep_until(deadline, OwnerDoorbell::kEveryone, [&] {
    ring_.collect();
    if (nudged.load() || first.ended() || !ring_.request_ring(first, SlotState::kRingOwner)) return true;
    for (TaskState* task : others)
      if (task->ended() || !ring_.request_ring(*task, SlotState::kRingOwner)) return true;
    return false;
  });
  if (spins) wait_spin.slept();
}

bool Waiting::sleep_for_bulk(TaskState& task, std::chrono::nanoseconds longest) {
  if (!crowded() || service_.is_this()) return false;
  sleep_until(Clock::now() + longest, OwnerDoorbell::kEveryone, [&] {
    ring_.collect();
    return task.ended() || !ring_.request_ring(task, SlotState::kRingOwner);
  });
  return true;
}

bool Waiting::sleep_for_half(std::chrono::nanoseconds longest) {
  if (!crowded() || service_.is_this()) return false;
  std::uint64_t half = 0;
  {
    const PoolLock::Hold hold(lock_);
    const std::uint64_t under_way = ring_.tail() - ring_.oldest();
    if (under_way < kBulk) return false;
    half = ring_.oldest() + under_way / 2;
    if (ring_.task_at(half) == nullptr) return false;
  }
  sleep_until(Clock::now() + longest, OwnerDoorbell::kEveryone, [&] {
    ring_.collect();
    TaskState* task = ring_.task_at(half);
    return task == nullptr || !ring_.request_ring(*task, SlotState::kRingOwner);
  });
  return true;
}

void Waiting::wait_for_finished(const FinishedList& list, const std::atomic<bool>& nudged, const Deadline& deadline) {
  const auto longest = longest_spin(deadline);
  const bool spins = longest.count() > 0;
  if (spins && poll(longest, [&](unsigned look) {
        if (look % 16 != 15) return false;
        const PoolLock::Hold hold(lock_);
        ring_.collect();
        return list.first != nullptr;
      }))
    return;
  bool looked = false;
  sleep_until(deadline, OwnerDoorbell::kEveryone, [&] {
    const bool more = ring_.collect();
    if (nudged.load() || list.first != nullptr || (!more && looked)) return true;
    looked = true;
    while (!ring_.request_ring_of_next()) {
      ring_.collect();
      if (list.first != nullptr) return true;
    }
    return false;
  });
  if (spins) wait_spin.slept();
}

bool Waiting::wait_for_nudge(const std::atomic<bool>& nudged, const Deadline& deadline) {
  owner_.refuse_if_made_elsewhere();
  return sleep_until(deadline, OwnerDoorbell::kEveryone, [&] {
    ring_.collect();
    return nudged.load();
  });
}

bool Waiting::wait_until_idle(const Deadline& deadline) {
  if (owner_.in_forked_child()) return true;
  return sleep_until(deadline, OwnerDoorbell::kEveryone, [&] {
    do {
      ring_.collect();
      if (open_.unfinished() == 0 || lifecycle_.closed()) return true;
    } while (!ring_.request_ring_of_next());
    return false;
  });
}

}  // namespace retinue::detail
