#include "fork_server.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iterator>
#include <optional>
#include <stdio_ext.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "system/calls.hpp"
#include "system/fault.hpp"
#include "system/inherited_descriptors.hpp"
#include "system/sanitizer.hpp"
#include "system/signals.hpp"
#include "diagnostics/stack.hpp"
#include "inherited_memory.hpp"

namespace retinue::detail {
namespace {

LivenessDoorbell* doorbell_of_server = nullptr;  // for the handler of its signals

/// The fork server's loop. What it knows of its children it keeps in private memory: the worker records in shared
/// memory are only written, never trusted, since a worker may have scribbled over them.
class ForkServer {
 public:
  explicit ForkServer(const PoolPlan& plan) noexcept : plan_(plan), doorbell_(plan.memory.control->server_doorbell) {}
  [[noreturn]] void run() noexcept;

 private:
  static void set_action(int signal, const struct sigaction& action, struct sigaction& before) noexcept;
  void take_signals() noexcept;
  void spawn(unsigned index) noexcept;
  void reap() noexcept;
  void serve_worker_records() noexcept;
  void sleep() noexcept;
  bool owner_is_gone() noexcept;
  void drop_memory() noexcept;
  [[noreturn]] static void leave() noexcept;
  [[noreturn]] void end_with_owner() noexcept;
  [[noreturn]] static void cannot_begin(int error_number) noexcept { _exit(error_number); }  // the owner throws it

  static constexpr std::chrono::milliseconds kLookAgain{10};
  static constexpr unsigned kMaxNaps = 200;
  // Signals that have it look, the second if the thread that forked it ends, or its whole process; also if it was stopped.
  static constexpr int kWakeSignals[] = {SIGCHLD, SIGCONT};
  static constexpr int kIgnored[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM};

  const PoolPlan& plan_;
  struct sigaction owners_[std::size(kIgnored)];
  struct sigaction owners_wake_[std::size(kWakeSignals)];
  LivenessDoorbell& doorbell_;
  pid_t watch_ = 0;    // the thread of the owner's that holds the doorbell, once one does
  unsigned naps_ = 0;  // since the doorbell said that it has ended, and it had not
  pid_t children_[kMaxWorkers] = {};
  unsigned alive_ = 0;
  sigset_t blocked_{};    // while it sleeps: none, at first
  bool dropped_ = false;  // the memory of the owner's that workers inherit
  bool refused_ = false;  // a worker could not be killed: to be tried again
};

void ForkServer::set_action(int signal, const struct sigaction& action, struct sigaction& before) noexcept {
  if (sys::sigaction(signal, &action, &before) != 0) cannot_begin(errno);
}

// The owner's dispositions are set aside for the workers. Signals are blocked (signals_to_block), since before the
// fork, until the first sleep.
void ForkServer::take_signals() noexcept {
  struct sigaction ignore{};
  ignore.sa_handler = SIG_IGN;
  for (std::size_t i = 0; i < std::size(kIgnored); ++i) set_action(kIgnored[i], ignore, owners_[i]);
  doorbell_of_server = &doorbell_;
  struct sigaction ring{};  // also where the owner ignored SIGCHLD, so that children can be waited for
  ring.sa_handler = [](int) { doorbell_of_server->ring(); };
  for (std::size_t i = 0; i < std::size(kWakeSignals); ++i) set_action(kWakeSignals[i], ring, owners_wake_[i]);
}

void ForkServer::spawn(unsigned index) noexcept {
  WorkerRecord& record = plan_.memory.worker_records[index];
  const pid_t self = getpid();
  // The worker gets the owner's handlers back before its own signals are in order: nothing may run them meanwhile.
  const SignalsBlocked blocked;
  const pid_t pid = sys::fork();
  if (pid == 0) {
    for (std::size_t i = 0; i < std::size(kIgnored); ++i) sys::sigaction(kIgnored[i], &owners_[i], nullptr);
    for (std::size_t i = 0; i < std::size(kWakeSignals); ++i)
      sys::sigaction(kWakeSignals[i], &owners_wake_[i], nullptr);
    run_worker(plan_, index, self);
  }
  if (pid < 0) {
    record.status.store(errno, std::memory_order_relaxed);
    record.life.store(Life::spawn_failed, std::memory_order_release);
  } else {
    children_[index] = pid;
    ++alive_;
    record.pid.store(pid, std::memory_order_relaxed);
    record.life.store(Life::alive, std::memory_order_release);  // Model: spawn
  }
  plan_.ring_service();
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
      WorkerRecord& record = plan_.memory.worker_records[i];
      record.status.store(status, std::memory_order_relaxed);
      record.life.store(Life::ended, std::memory_order_release);  // Model: reap
      plan_.ring_service();
      break;
    }
  }
}

void ForkServer::serve_worker_records() noexcept {
  refused_ = false;
  for (unsigned i = 0; i < plan_.memory.workers; ++i) {
    WorkerRecord& record = plan_.memory.worker_records[i];
    const Life life = record.life.load(std::memory_order_acquire);
    if (children_[i] == 0 && life == Life::spawn_wanted && !dropped_) {
      spawn(i);
    } else if (children_[i] != 0 &&
               (life != Life::alive || record.pid.load(std::memory_order_relaxed) != children_[i])) {
      record.pid.store(children_[i],
                       std::memory_order_relaxed);  // overwritten: nobody else writes these while it lives
      record.life.store(Life::alive, std::memory_order_release);
    }
    if (children_[i] != 0 && record.kill_wanted.load(std::memory_order_acquire) == kKillWanted) {  // Model: kill
      if (sys::kill(children_[i], SIGKILL) != 0) refused_ = true;
    }
  }
}

// A worker that may not be killed is not waited for: it looks for its parent before it sleeps.
void ForkServer::end_with_owner() noexcept {
  for (unsigned i = 0; i < plan_.memory.workers; ++i)
    if (children_[i] != 0 && sys::kill(children_[i], SIGKILL) != 0) children_[i] = 0;
  for (unsigned i = 0; i < plan_.memory.workers; ++i) {
    int status = 0;
    while (children_[i] != 0 && sys::waitpid(children_[i], &status, 0) < 0 && errno == EINTR) {
    }
  }
  leave();
}

// Asks the kernel, whatever the doorbell says. An owner that has exec'd is the same process, but has no thread of that
// time.
bool ForkServer::owner_is_gone() noexcept {
  if (getppid() != plan_.owner) return true;
  if (watch_ == 0) return doorbell_.holder_ended();
  return sys::tgkill(plan_.owner, watch_, 0) != 0 && errno == ESRCH;
}

void ForkServer::sleep() noexcept {
  using Clock = std::chrono::steady_clock;
  std::optional<std::chrono::milliseconds> longest;
  if (watch_ == 0) watch_ = doorbell_.holder();
  if (refused_ || watch_ == 0) longest = kLookAgain;  // the thread that is to hold the doorbell is being made
  if (sys::pthread_sigmask(SIG_SETMASK, &blocked_, nullptr) != 0) longest = kLookAgain;  // a signal may be blocked
  if (has_thread_sanitizer()) longest = kLookAgain;  // a signal may be delayed until the next call that it knows
  if (doorbell_.holder_ended()) {  // then the thread is about to be gone, or somebody has scribbled over the doorbell
    if (++naps_ > kMaxNaps) doorbell_.restore(watch_);
    const timespec nap{0, 5'000'000};
    ::nanosleep(&nap, nullptr);
    return;
  }
  naps_ = 0;
  doorbell_.wait(longest ? std::optional(Clock::now() + *longest) : std::nullopt);
}

// Workers that leave give back what they have of the owner's memory, and where that is much it takes long. The fork server
// does so meanwhile, and not after them. It can then fork no more; nor need it, for a pool that is closing replaces nobody.
// If it was not closing, but somebody has scribbled, the fork server leaves, and the owner says so.
void ForkServer::drop_memory() noexcept {
  dropped_ = true;
  sigfillset(&blocked_);  // a handler of the owner's program would look for its data
  for (const int signal : kWakeSignals) sigdelset(&blocked_, signal);
  if (has_sanitizer() || own_private_memory() < kLargeProcess) return;
  if (sys::pthread_sigmask(SIG_SETMASK, &blocked_, nullptr) != 0) return;
  // Called once before, so that it is bound.
  (void)sys::kill(getpid(), 0);
  const timespec none{};
  ::nanosleep(&none, nullptr);
  (void)std::chrono::steady_clock::now();
  const void* const in_use[] = {&plan_, plan_.hooks, &doorbell_of_server, plan_.region};
  drop_inherited_memory(in_use);
}

void ForkServer::leave() noexcept {
  void (*const volatile exit_now)(int) = ::_exit;  // its address is known, though it was never called
  exit_now(0);
  __builtin_unreachable();
}

void ForkServer::run() noexcept {
  pthread_setname_np(pthread_self(), "retinue-server");
  // What the owner had written to stdout but not flushed is the owner's to print, not every worker's.
  __fpurge(stdout);
  take_signals();
  if (plan_.kept_descriptors) {
    if (const int error = close_descriptors_but(*plan_.kept_descriptors); error != 0) cannot_begin(error);
  }
  warm_up_stack_capture();
  const LivenessDoorbell::Hold hold(plan_.memory.control->server);
  if (sys::prctl(PR_SET_PDEATHSIG, SIGCONT) != 0) cannot_begin(errno);
  for (;;) {
    doorbell_.drain();
    if (owner_is_gone()) end_with_owner();
    reap();
    // Before the look at the records: who is to be killed was noted there before the pool was closed.
    const bool is_closing = plan_.memory.control->closing.load(std::memory_order_acquire) == kClosing;
    serve_worker_records();
    if (is_closing ? alive_ == 0 : dropped_) leave();
    if (is_closing && !dropped_) drop_memory();
    else sleep();
  }
}

}  // namespace

void run_fork_server(const PoolPlan& plan) noexcept {
  set_process_role(ProcessRole::fork_server);
  ForkServer server(plan);
  server.run();
}

}  // namespace retinue::detail
