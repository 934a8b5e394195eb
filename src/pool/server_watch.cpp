// What is wanted of a fork server that stands still: nothing must wait for it for ever.
#include <csignal>

#include "system/calls.hpp"
#include "system/text_file.hpp"
#include "pool_core.hpp"

namespace retinue::detail {
namespace {

/// Whether a signal has stopped a process; false also where the system does not say.
bool is_stopped(pid_t pid) {
  const std::string stat = text_of_file("/proc/" + std::to_string(pid) + "/stat").value_or("");
  const std::size_t name_end = stat.rfind(") ");
  return name_end != std::string::npos && stat.compare(name_end, 3, ") T") == 0;
}

}  // namespace

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
    looks_at_stopped_ = is_stopped(server_pid_) ? looks_at_stopped_ + 1 : 0;
  }
  const bool stands_still = looks_at_stopped_ >= kMostLooksAtStopped;
  if (stands_still || (at_once_ && now >= at_once_until_)) {
    server_stood_still_ = stands_still;
    sys::pidfd_send_signal(server_.get(), SIGKILL);
  } else if (at_once_ && at_once_until_ < *server_look_) {
    return at_once_until_;
  }
  return server_look_;
}

}  // namespace retinue::detail
