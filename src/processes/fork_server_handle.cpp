#include "fork_server_handle.hpp"

#include <cerrno>
#include <csignal>
#include <sys/wait.h>
#include <thread>

#include <retinue/error.hpp>

#include "system/calls.hpp"
#include "system/process_state.hpp"
#include "system/signals.hpp"
#include "fork_server.hpp"
#include "fresh_start.hpp"

namespace retinue::detail {
namespace {

/// For it to be gone, once it is asked to leave.
constexpr std::chrono::seconds kLongestLeaving{5};
/// For one that was stopped to go on, if anything waits for it.
constexpr std::chrono::seconds kLookEvery{1};
constexpr int kMaxLooksAtStopped = 5;

}  // namespace

void ForkServerHandle::start(PoolPlan& plan, const FreshProgram* program) {
  pid_t pid = -1;
  int error_number = 0;
  {
    // No handler of the program's may run in the child before it has put its signals in order.
    const SignalsBlocked blocked;
    plan.signal_mask = blocked.before();
    std::optional<FreshStart> fresh;
    if (program != nullptr) fresh.emplace(plan, *program);
    call(plan.hooks->before_fork);
    pid = sys::fork();
    if (pid == 0 && fresh) fresh->exec();
    if (pid == 0) run_fork_server(plan);
    error_number = errno;
    call(plan.hooks->after_fork_in_parent);
  }
  if (pid < 0) throw_call_failed("fork", error_number, "the pool's fork server");
  pid_ = pid;
  end_.emplace(pid, *plan.memory.control);
  plan.region->set_file_holder(pid);
}

bool ForkServerHandle::has_ended(int* exit_code) const noexcept {
  if (end_) {
    if (exit_code != nullptr) *exit_code = end_->exit_code();
    return end_->ended();
  }
  siginfo_t info{};
  while (sys::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    if (errno != EINTR) return true;  // the program has waited for it
  }
  if (exit_code != nullptr && info.si_code == CLD_EXITED) *exit_code = info.si_status;
  return info.si_pid != 0;
}

bool ForkServerHandle::wait(std::chrono::milliseconds longest) const noexcept {
  const auto deadline = Clock::now() + longest;
  if (end_) return end_->wait(deadline);
  while (!has_ended()) {
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Our own child: as long as it has not been waited for, the number is its.
bool ForkServerHandle::kill_now() const noexcept {
  if (has_ended()) return true;
  return sys::kill(pid_, SIGKILL) == 0 || errno == ESRCH;
}

bool ForkServerHandle::end() noexcept {
  if (!wait(kLongestLeaving) && !(kill_now() && wait(kLongestLeaving))) return false;
  reap(pid_);
  return true;
}

// A fork server that was stopped may stay so, and the tasks of workers that it is to kill, reap or fork would never end. So it
// is killed, and the kernel kills its workers with it. Looks are counted, not time, which goes on while a whole job is
// stopped (Ctrl-Z); and one that is only slow, on a busy machine, is waited for, unless all shall end at once.
ForkServerHandle::Look ForkServerHandle::look(bool waits_for_it, const Deadline& terminate_deadline) noexcept {
  if (!waits_for_it) {
    look_.reset();
    return {};
  }
  const auto now = Clock::now();
  if (!look_) {
    look_ = now + kLookEvery;
    looks_at_stopped_ = 0;
  } else if (now >= *look_) {
    look_ = now + kLookEvery;
    looks_at_stopped_ = ProcessState::of(pid_).state() == 'T' ? looks_at_stopped_ + 1 : 0;
  }
  const bool is_stopped = looks_at_stopped_ >= kMaxLooksAtStopped;
  if (is_stopped || (terminate_deadline && now >= *terminate_deadline)) {
    was_stopped_ = is_stopped;
    return {look_, !kill_now()};
  }
  return {terminate_deadline && *terminate_deadline < *look_ ? terminate_deadline : look_, false};
}

}  // namespace retinue::detail
