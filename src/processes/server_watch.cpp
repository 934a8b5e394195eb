// What is wanted of a fork server that stands still: nothing must wait for it for ever.
#include <cerrno>
#include <csignal>
#include <string>

#include "system/calls.hpp"
#include "system/process_state.hpp"
#include "pool_core.hpp"

namespace retinue::detail {

bool PoolCore::waits_for_server() const noexcept {
  for (unsigned i = 0; i < workers(); ++i) {
    const Seat& seat = plan_.memory.seats[i];
    const Life life = seat.life.load(std::memory_order_acquire);
    if (life == Life::spawn_wanted) return true;
    if (life != Life::alive) continue;
    if (tended_[i].kill_asked) return true;
    if (seat.retiring.load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

// A fork server that was stopped may stay so, and the tasks of workers that it is to kill, reap or fork would never end. So it
// is killed, and the kernel kills its workers with it. Looks are counted, not time, which goes on while a whole job is
// stopped (Ctrl-Z); and one that is only slow, on a busy machine, is waited for, unless all shall end at once.
Deadline PoolCore::tend_server() {
  if (!waits_for_server()) {
    server_look_.reset();
    return std::nullopt;
  }
  const auto now = Clock::now();
  if (!server_look_) {
    server_look_ = now + kServerLookEvery;
    looks_at_stopped_ = 0;
  } else if (now >= *server_look_) {
    server_look_ = now + kServerLookEvery;
    looks_at_stopped_ = ProcessState::of(server_pid_).state() == 'T' ? looks_at_stopped_ + 1 : 0;
  }
  const bool stands_still = looks_at_stopped_ >= kMostLooksAtStopped;
  if (stands_still || (at_once_ && now >= at_once_until_)) {
    server_stood_still_ = stands_still;
    if (!kill_server())
      break_pool(
          "its fork server was stopped, and this process may not kill it (EPERM), as it has given up the rights that "
          "it had when it made the pool; process " +
          std::to_string(server_pid_) + " is left");
  } else if (at_once_ && at_once_until_ < *server_look_) {
    return at_once_until_;
  }
  return server_look_;
}

// False if that is not allowed. Our own child: as long as it has not been waited for, the number is its.
bool PoolCore::kill_server() const noexcept {
  if (server_has_ended()) return true;
  return sys::kill(server_pid_, SIGKILL) == 0 || errno == ESRCH;
}

// Once its fork server was killed the kernel has killed each worker, but for those whose tasks have changed user or told it
// not to. They are reaped elsewhere, and soon; the name is looked at, lest the number be another's by now.
void PoolCore::kill_orphans() noexcept {
  for (unsigned i = 0; i < workers(); ++i) {
    const Seat& seat = plan_.memory.seats[i];
    const pid_t pid = seat.pid.load(std::memory_order_relaxed);
    if (seat.life.load(std::memory_order_acquire) != Life::alive || pid <= 0) continue;
    if (ProcessState::of(pid).name() == kWorkerName) sys::kill(pid, SIGKILL);
  }
}

}  // namespace retinue::detail
