#include "end_watch.hpp"

#include <cerrno>
#include <sys/wait.h>
#include <utility>

#include "system/calls.hpp"
#include "system/fd.hpp"
#include "system/futex.hpp"
#include "system/signals.hpp"

namespace retinue::detail {

struct EndWatch::Watched {
  static constexpr std::uint32_t kRuns = 0, kEnded = 1, kLeft = 2;  // left: nobody waits for it but the thread
  pid_t server;
  Control& control;
  std::atomic<std::uint32_t> stage{kRuns};
  std::atomic<int> exit_code{0};
};

void reap(pid_t child) noexcept {
  siginfo_t info;
  // Without waiting: where the program has reaped it, its number may be that of another child by now.
  while (sys::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG) != 0 && errno == EINTR) {
  }
}

EndWatch::EndWatch(pid_t server, Control& control) : watched_(new Watched{server, control}) {
  auto* const of_thread = new std::shared_ptr<Watched>(watched_);
  int error_number = 0;
  {
    const SignalsBlocked blocked;  // signal handlers run in the program's own threads
    error_number = sys::pthread_create(&thread_, watch, of_thread);
  }
  if (error_number == 0) return;
  delete of_thread;
  throw_call_failed("pthread_create", error_number, "the thread that waits for the pool's fork server");
}

void* EndWatch::watch(void* argument) noexcept {
  const std::unique_ptr<std::shared_ptr<Watched>> kept(static_cast<std::shared_ptr<Watched>*>(argument));
  Watched& watched = **kept;
  pthread_setname_np(pthread_self(), "retinue-watch");
  const LivenessDoorbell::Hold hold(watched.control.server_doorbell);
  siginfo_t info{};
  int failed = 0;
  do {
    failed = sys::waitid(P_PID, static_cast<id_t>(watched.server), &info, WEXITED | WNOWAIT);
  } while (failed != 0 && errno == EINTR);
  // Failed: the program has waited for it, or ignores SIGCHLD, and then this call too returns at its end.
  if (failed == 0 && info.si_code == CLD_EXITED) watched.exit_code.store(info.si_status, std::memory_order_relaxed);
  if (watched.stage.exchange(Watched::kEnded, std::memory_order_acq_rel) == Watched::kLeft) reap(watched.server);
  futex_wake(watched.stage, ~std::uint32_t{0});
  if (watched.control.closing.load(std::memory_order_acquire) != kClosing)
    watched.control.service_doorbell.ring();  // else it is no news
  return nullptr;
}

EndWatch::~EndWatch() {
  std::uint32_t stage = Watched::kRuns;
  if (watched_->stage.compare_exchange_strong(stage, Watched::kLeft, std::memory_order_acq_rel))
    pthread_detach(thread_);
  else pthread_join(thread_, nullptr);
}

bool EndWatch::ended() const noexcept { return watched_->stage.load(std::memory_order_acquire) == Watched::kEnded; }
int EndWatch::exit_code() const noexcept { return watched_->exit_code.load(std::memory_order_relaxed); }

bool EndWatch::wait(std::chrono::steady_clock::time_point deadline) const noexcept {
  while (!ended()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    futex_wait(watched_->stage, Watched::kRuns, ~std::uint32_t{0}, deadline);
  }
  return true;
}

}  // namespace retinue::detail
