// Making a pool and ending it.
#include "pool_core.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <retinue/cpu_count.hpp>
#include <retinue/detail/codec/entry.hpp>
#include <retinue/detail/tasks/owner_bell.hpp>

#include "system/calls.hpp"
#include "system/fork_watch.hpp"
#include "system/process_state.hpp"
#include "system/signals.hpp"
#include "fork_server.hpp"
#include "fresh_start.hpp"

namespace retinue::detail {
namespace {

constexpr std::size_t kFewestSlots = 64, kMostSlots = std::size_t{1} << 20;

std::size_t slots_for(const ProcessPoolOptions& options, unsigned workers) {
  return std::bit_ceil(
      std::clamp<std::size_t>(std::max<std::size_t>(options.slots, 4 * workers), kFewestSlots, kMostSlots));
}

// Of a process that was not our child. False if it lives on past the deadline.
bool wait_for_end_of(pid_t pid, Clock::time_point deadline) noexcept {
  for (;;) {
    if (sys::waitpid(pid, nullptr, WNOHANG) == pid) return true;  // it became our child, if we are the reaper here
    if (sys::kill(pid, 0) != 0 && errno == ESRCH) return true;
    if (ProcessState::of(pid).state() == 'Z') return true;  // and nobody reaps it, as in many a container
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

namespace {
std::atomic<PoolCore*> left_alone{nullptr};  // pools of a parent, kept in reach for leak checkers
}

void add_ref(PoolCore& core) noexcept { core.add_ref(); }
void release(PoolCore& core) noexcept { core.release(); }

PoolCore::PoolCore(const ProcessPoolOptions& options, const ProcessHooks& hooks, const FreshProgram* program)
    : generation_(fork_generation()) {
  plan_.hooks = &hooks;
  plan_.cpus = cpu_count();
  const unsigned workers = options.workers != 0 ? options.workers : std::min(plan_.cpus, kMostWorkers);
  if (workers > kMostWorkers)
    throw Error("a ProcessPool has at most " + std::to_string(kMostWorkers) + " workers, not " +
                std::to_string(workers));
  plan_.region = &Region::of_this_process();
  plan_.owner_bell = &OwnerBell::of_this_process();
  plan_.initializer = options.initializer;
  plan_.max_tasks = options.max_tasks_per_worker;
  plan_.max_memory = options.max_memory_per_worker;
  plan_.confinement = confinement_of(options.limits);
  plan_.break_on_death = options.break_on_worker_death;
  plan_.longest_spin = options.spin.value_or(std::chrono::microseconds(100));
  plan_.owner = getpid();

  const std::size_t slots = slots_for(options, workers);
  owners_.resize(slots);
  stragglers_.reserve(workers + 16);
  tended_.resize(workers);
  unreported_deaths_.reserve(workers);
  stats_.workers = workers;
  control_extent_ = region().take_control(PoolMemory::bytes_needed(workers, slots));
  plan_.memory = PoolMemory::lay_out(region().at(control_extent_.offset), workers, slots);
  // Most entries are of the program that this function is part of: what names them is found before the fork, once.
  name_code(reinterpret_cast<const void*>(&PoolMemory::lay_out));
  try {
    for (unsigned i = 0; i < workers; ++i) {
      want_spawn(i);
      if (tended_[i].part == nullptr)
        throw ResourceExhausted(
            "no room in the shared region for worker " + std::to_string(i + 1) + " of " + std::to_string(workers), 0);
    }
    fork_server(program);
    wait_for_first_spawns(program);
    start_service();
    region().add_keeper(plan_.memory.control->service_bell);
  } catch (...) {
    end_processes();
    if (!control_lost_) region().give_control(control_extent_);
    throw;
  }
}

void PoolCore::fork_server(const FreshProgram* program) {
  pid_t pid = -1;
  int error_number = 0;
  {
    // No handler of the program's may run in the child before it has put its signals in order.
    const SignalsBlocked blocked;
    plan_.signal_mask = blocked.before();
    std::optional<FreshStart> fresh;
    if (program != nullptr) fresh.emplace(plan_, *program);
    call(plan_.hooks->before_fork);
    pid = sys::fork();
    if (pid == 0 && fresh) fresh->exec();
    if (pid == 0) run_fork_server(plan_);
    error_number = errno;
    call(plan_.hooks->after_fork_in_parent);
  }
  if (pid < 0) throw_call_failed("fork", error_number, "the pool's fork server");
  server_pid_ = pid;
  server_end_.emplace(pid, *plan_.memory.control);
  region().set_keeper_of_file(pid);
}

void PoolCore::wait_for_first_spawns(const FreshProgram* program) {
  // A program started anew may have much to import.
  const auto deadline = Clock::now() + std::chrono::seconds(program != nullptr ? 600 : 60);
  for (;;) {
    unsigned answered = 0;
    int error_number = 0;
    for (unsigned i = 0; i < workers(); ++i) {
      const Life life = plan_.memory.seats[i].life.load(std::memory_order_acquire);
      if (life != Life::spawn_wanted) ++answered;
      if (life == Life::spawn_failed) error_number = plan_.memory.seats[i].status.load(std::memory_order_relaxed);
    }
    if (error_number != 0) {
      unsigned alive = 0;
      for (unsigned i = 0; i < workers(); ++i)
        if (plan_.memory.seats[i].life.load(std::memory_order_acquire) == Life::alive) ++alive;
      throw_call_failed("fork", error_number,
                        "worker " + std::to_string(alive + 1) + " of " + std::to_string(workers()) +
                            "; see ulimit -u and the cgroup's pids.max");
    }
    if (answered == workers()) {
      tend_seats();
      return;
    }
    plan_.memory.control->service_bell.wait(Clock::now() + std::chrono::milliseconds(100));
    plan_.memory.control->service_bell.drain();
    if (int exit_code = 0; server_has_died(&exit_code)) {
      if (program == nullptr && exit_code != 0)
        throw_call_failed("sigaction or prctl", exit_code, "in the pool's fork server");
      throw ResourceExhausted("the pool's fork server died while it started the workers", 0);
    }
    if (plan_.hooks->interrupted != nullptr && plan_.hooks->interrupted()) {
      // A program that is still importing does not hear that the pool is closing. Our own child, not yet waited for: the
      // pid is still its.
      if (answered == 0) (void)kill_server();
      throw Error("the start of the pool was interrupted");
    }
    if (Clock::now() > deadline)
      throw ResourceExhausted(
          "the workers could not be started in time: " + std::to_string(answered) + " of " + std::to_string(workers()),
          0);
  }
}

// Leaves it to be waited for. `exit_code` is 0 also if it was killed.
bool PoolCore::server_has_ended(int* exit_code) const noexcept {
  if (server_end_) {
    if (exit_code != nullptr) *exit_code = server_end_->exit_code();
    return server_end_->ended();
  }
  siginfo_t info{};
  while (sys::waitid(P_PID, static_cast<id_t>(server_pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
    if (errno != EINTR) return true;  // the program has waited for it
  }
  if (exit_code != nullptr && info.si_code == CLD_EXITED) *exit_code = info.si_status;
  return info.si_pid != 0;
}

bool PoolCore::server_has_died(int* exit_code) const noexcept {
  return server_has_ended(exit_code) && !told_to_close_.load(std::memory_order_acquire);
}

bool PoolCore::wait_for_server(std::chrono::milliseconds longest) const noexcept {
  const auto deadline = Clock::now() + longest;
  if (server_end_) return server_end_->wait(deadline);
  while (!server_has_ended()) {
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

void PoolCore::close(bool cancel_pending, bool at_once) {
  if (in_forked_child()) return;
  {
    std::unique_lock lock(mutex_);
    if (cancel_pending || at_once) {
      if (!closed_) cancel_unstarted();
    }
    if (at_once && !closed_ && stage_ != Stage::ended) {
      if (!std::exchange(at_once_, true)) at_once_until_ = Clock::now() + kLongestLeaving;
      for (unsigned i = 0; i < workers(); ++i) ask_to_kill(i);
      plan_.ring_server();
      plan_.ring_service();  // its next look must not come later than that
    }
    plan_.owner_bell->ring();
    if (stage_ != Stage::open) {  // another thread ends the pool: wait for it
      if (!on_service_thread()) stage_changed_.wait(lock, [this] { return stage_ == Stage::ended; });
      return;
    }
    stage_ = Stage::draining;
  }
  try {
    wait_until_idle(std::nullopt);
  } catch (const std::bad_alloc&) {
    const Hold hold(*this);
    break_pool("there was no memory left to read its results with");
  }
  end_processes();
  const std::lock_guard lock(mutex_);
  if (!closed_) closed_why_ = "the pool was shut down";
  closed_ = true;
  stage_ = Stage::ended;
  stage_changed_.notify_all();
}

void PoolCore::shutdown(bool cancel_pending) { close(cancel_pending, false); }
void PoolCore::terminate() { close(true, true); }

void PoolCore::tell_to_close() noexcept {
  told_to_close_.store(true, std::memory_order_release);
  plan_.memory.control->closing.store(kClosing, std::memory_order_seq_cst);
}

// Every process of the pool is told to leave, waited for, and, if it does not, killed. Also after a
// constructor that failed half way.
void PoolCore::end_processes() noexcept {  // Model: shutdown
  tell_to_close();
  ring_all_workers(plan_.memory);
  plan_.ring_server();
  if (server_pid_ != 0) control_lost_ = !end_server() || !workers_are_gone();
  if (service_started_) {
    stop_service_.store(true, std::memory_order_release);
    plan_.ring_service();
    if (on_service_thread()) pthread_detach(service_thread_);
    else pthread_join(service_thread_, nullptr);
  }
  server_end_.reset();
  for (Tended& tended : tended_) {
    if (tended.part != nullptr) region().retire(tended.part);
    tended = {};
  }
  for (StillRead& it : still_read_) {
    if (control_lost_) (void)it.kept.release();  // a worker may still read it
    else if (it.block.offset != 0) region().free(it.block.offset, it.block.bytes);
  }
  still_read_.clear();
  region().remove_keeper(plan_.memory.control->service_bell);
}

// False if it can neither be waited for nor be killed.
bool PoolCore::end_server() noexcept {
  if (!wait_for_server(kLongestLeaving) && !(kill_server() && wait_for_server(kLongestLeaving))) return false;
  reap(server_pid_);
  return true;
}

// When the fork server leaves by itself it has waited for its workers. If it was killed, the kernel kills
// them, but that takes a moment, in which their memory must not be used for anything else.
bool PoolCore::workers_are_gone() noexcept {
  kill_orphans();
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  for (unsigned i = 0; i < workers(); ++i) {
    const Seat& seat = plan_.memory.seats[i];
    if (seat.life.load(std::memory_order_acquire) != Life::alive) continue;
    const pid_t pid = tended_[i].pid != 0 ? tended_[i].pid : seat.pid.load(std::memory_order_relaxed);
    if (pid > 0 && !wait_for_end_of(pid, deadline)) return false;
    sys::waitpid(pid, nullptr, WNOHANG);  // it may have become our child, if we are the reaper here
  }
  return true;
}

void PoolCore::destroy() noexcept {
  // In a forked child it is left alone: destroying what threads of the parent were using could wait for them.
  if (in_forked_child()) left_alone_ = left_alone.exchange(this);
  else delete this;
}

PoolCore::~PoolCore() {
  if (!control_lost_ && stage_ == Stage::ended) region().give_control(control_extent_);
}

BackendStats PoolCore::statistics() {
  const PoolStats now = stats();
  return {now.finished, now.cancelled, now.waiting, now.workers};
}

PoolStats PoolCore::stats() {
  if (in_forked_child()) return stats_;
  const Hold hold(*this);
  if (!closed_) pump();
  PoolStats stats = stats_;
  stats.waiting = unfinished_ - in_slots_;
  stats.in_slots = in_slots_;
  for (const Tended& tended : tended_) stats.workers_alive += tended.pid != 0 ? 1 : 0;
  const Region::Usage usage = region().usage();
  stats.bytes_in_use = usage.owner_bytes + usage.result_bytes;
  stats.bytes_peak = usage.peak_bytes;
  stats.blocks = usage.blocks;
  stats.bytes_warm = usage.warm_bytes;
  return stats;
}

std::vector<pid_t> PoolCore::worker_pids() {
  std::vector<pid_t> pids;
  if (!in_forked_child()) {
    const std::lock_guard lock(mutex_);
    if (closed_) return pids;
  }
  for (unsigned i = 0; i < workers(); ++i) {
    const Seat& seat = plan_.memory.seats[i];
    if (seat.life.load(std::memory_order_acquire) == Life::alive) pids.push_back(seat.pid.load());
  }
  return pids;
}

}  // namespace retinue::detail
