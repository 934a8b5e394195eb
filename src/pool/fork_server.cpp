#include "fork_server.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iterator>
#include <optional>
#include <poll.h>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "system/calls.hpp"
#include "system/fault.hpp"
#include "system/signals.hpp"
#include "system/stack.hpp"
#include "system/wait_for_fds.hpp"

namespace retinue::detail {
namespace {

/// The fork server's loop. What it knows of its children it keeps in private memory: the seats in shared
/// memory are only told, never trusted, since a worker may have scribbled over them.
class ForkServer {
 public:
  explicit ForkServer(const PoolPlan& plan) noexcept : plan_(plan) {}
  [[noreturn]] void run() noexcept;

 private:
  static void set_action(int signal, const struct sigaction& action, struct sigaction& before) noexcept;
  void take_signals() noexcept;
  void spawn(unsigned index) noexcept;
  void reap() noexcept;
  void serve_seats() noexcept;
  [[noreturn]] void end_with_owner() noexcept;
  [[noreturn]] static void cannot_begin(int error_number) noexcept { _exit(error_number); }  // the owner throws it

  static constexpr std::chrono::milliseconds kKillAgain{10};
  static constexpr int kIgnored[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM};

  const PoolPlan& plan_;
  struct sigaction owners_[std::size(kIgnored)];
  struct sigaction owners_child_;
  int signals_ = -1;
  int owner_pidfd_ = -1;
  pid_t children_[kMostWorkers] = {};
  unsigned alive_ = 0;
  bool refused_ = false;  // a worker could not be killed: to be tried again
};

void ForkServer::set_action(int signal, const struct sigaction& action, struct sigaction& before) noexcept {
  if (sys::sigaction(signal, &action, &before) != 0) cannot_begin(errno);
}

// The owner's dispositions are put aside for the workers. All signals are blocked since before the fork.
void ForkServer::take_signals() noexcept {
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  for (std::size_t i = 0; i < std::size(kIgnored); ++i) set_action(kIgnored[i], ignore, owners_[i]);
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;  // if the owner ignored SIGCHLD, children could not be waited for
  set_action(SIGCHLD, usual, owners_child_);
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  signals_ = sys::signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals_ < 0) cannot_begin(errno);  // without it no worker's end would be seen
  sys::pthread_sigmask(SIG_SETMASK, &child, nullptr);
}

void ForkServer::spawn(unsigned index) noexcept {
  Seat& seat = plan_.memory.seats[index];
  const pid_t self = getpid();
  // The worker gets the owner's handlers back before its own signals are in order: nothing may run them meanwhile.
  const SignalsBlocked blocked;
  const pid_t pid = sys::fork();
  if (pid == 0) {
    for (std::size_t i = 0; i < std::size(kIgnored); ++i) sys::sigaction(kIgnored[i], &owners_[i], nullptr);
    sys::sigaction(SIGCHLD, &owners_child_, nullptr);
    if (signals_ >= 0) close(signals_);
    close(owner_pidfd_);
    run_worker(plan_, index, self);
  }
  if (pid < 0) {
    seat.status.store(errno, std::memory_order_relaxed);
    seat.life.store(Life::spawn_failed, std::memory_order_release);
  } else {
    children_[index] = pid;
    ++alive_;
    seat.pid.store(pid, std::memory_order_relaxed);
    seat.life.store(Life::alive, std::memory_order_release);  // Model: spawn
  }
  plan_.service_event.ring();
}

void ForkServer::reap() noexcept {
  for (;;) {
    int status = 0;
    const pid_t pid = sys::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    for (unsigned i = 0; i < plan_.memory.workers; ++i) {
      if (children_[i] != pid) continue;
      children_[i] = 0;
      --alive_;
      Seat& seat = plan_.memory.seats[i];
      seat.status.store(status, std::memory_order_relaxed);
      seat.life.store(Life::ended, std::memory_order_release);  // Model: reap
      plan_.service_event.ring();
      break;
    }
  }
}

void ForkServer::serve_seats() noexcept {
  refused_ = false;
  for (unsigned i = 0; i < plan_.memory.workers; ++i) {
    Seat& seat = plan_.memory.seats[i];
    const Life life = seat.life.load(std::memory_order_acquire);
    if (children_[i] == 0 && life == Life::spawn_wanted) {
      spawn(i);
    } else if (children_[i] != 0 && (life != Life::alive || seat.pid.load(std::memory_order_relaxed) != children_[i])) {
      seat.pid.store(children_[i], std::memory_order_relaxed);  // overwritten: nobody else writes these while it lives
      seat.life.store(Life::alive, std::memory_order_release);
    }
    if (children_[i] != 0 && seat.kill_wanted.load(std::memory_order_acquire) == kKillWanted) {  // Model: kill
      if (sys::kill(children_[i], SIGKILL) != 0) refused_ = true;
    }
  }
}

void ForkServer::end_with_owner() noexcept {
  for (unsigned i = 0; i < plan_.memory.workers; ++i)
    if (children_[i] != 0) sys::kill(children_[i], SIGKILL);
  while (alive_ > 0) {
    int status = 0;
    if (sys::waitpid(-1, &status, 0) > 0) --alive_;
    else if (errno != EINTR) break;
  }
  _exit(0);
}

void ForkServer::run() noexcept {
  pthread_setname_np(pthread_self(), "retinue-server");
  // What the owner had written to stdout but not flushed is the owner's to print, not every worker's.
  __fpurge(stdout);
  take_signals();
  warm_up_stack_capture();
  owner_pidfd_ = sys::pidfd_open(plan_.owner);
  if (owner_pidfd_ < 0 && errno != ESRCH) cannot_begin(errno);
  if (owner_pidfd_ < 0 || getppid() != plan_.owner) _exit(0);
  for (;;) {
    plan_.server_event.drain();
    reap();
    serve_seats();
    if (plan_.memory.control->closing.load(std::memory_order_acquire) == kClosing && alive_ == 0) _exit(0);
    pollfd fds[3] = {{owner_pidfd_, POLLIN, 0}, {signals_, POLLIN, 0}, {plan_.server_event.fd(), POLLIN, 0}};
    const bool ready = wait_for_fds(fds, refused_ ? std::optional(kKillAgain) : std::nullopt) > 0;
    if (fds[0].revents != 0 || (!ready && getppid() != plan_.owner)) end_with_owner();
    signalfd_siginfo info;
    while (sys::read(signals_, &info, sizeof info) > 0) {
    }
  }
}

}  // namespace

void run_fork_server(const PoolPlan& plan) noexcept {
  set_process_role(ProcessRole::fork_server);
  ForkServer server(plan);
  server.run();
}

}  // namespace retinue::detail
