#include "supervisor.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <new>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <utility>

#include <retinue/detail/tasks/owner_doorbell.hpp>
#include <retinue/error.hpp>

#include "codec/exceptions.hpp"
#include "system/calls.hpp"
#include "system/process_state.hpp"

namespace retinue::detail {
namespace {

constexpr std::chrono::seconds kLongestKilling{2};
constexpr std::chrono::seconds kLongestDyingIdle{10};
/// What ends workers of people who have moved here: a thread that has the process leave once its parent is another than the
/// program. The Python door puts its own word for it in place of the last sentence.
constexpr const char* kOfParents =
    "; if it has them leave once getppid() is not the program: a worker's parent is the pool's fork server (see \"Who "
    "is a "
    "worker's parent\" in docs/faults.md)";
constexpr std::chrono::milliseconds kFirstSpawnPause{10}, kLongestSpawnPause{1000};
/// For idle workers to leave by themselves when the pool is terminated; and as long again, so many times, for those that just
/// use a CPU or a disk: on a busy machine what they have to write may take longer.
constexpr std::chrono::milliseconds kLeavingInOrder{100};
constexpr int kMostLooks = 10;

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

std::string way_of(int status) {
  return WIFSIGNALED(status) ? "died of signal " + std::to_string(WTERMSIG(status))
                             : "exited with code " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Supervisor::Supervisor(const PoolPlan& plan, KnownWorkers& workers, Lifecycle& lifecycle, Liveness& deaths)
    : plan_(plan),
      workers_(workers),
      lifecycle_(lifecycle),
      deaths_(deaths),
      counting_(deaths.subscribe([this](const ProcessDeath& death) { count(death); })),
      replacing_(deaths.subscribe([this](const ProcessDeath& death) { replace(death.worker); })) {}

void Supervisor::look_at_worker_records() {
  const bool again = Clock::now() >= spawn_again_at_;
  for (unsigned i = 0; i < workers_.size(); ++i) {
    const WorkerRecord& record = plan_.memory.worker_records[i];
    KnownWorker& known = workers_[i];
    switch (record.life.load(std::memory_order_acquire)) {
      case Life::alive:
        if (known.pid == 0) {
          known.pid = record.pid.load(std::memory_order_relaxed);
          ++started_;
        }
        if (record.ready.load(std::memory_order_relaxed) != WorkerRecord::kTakesTasks) break;
        deaths_at_start_ = 0;
        if (!std::exchange(known.seen_ready, true)) spawn_pause_ = kFirstSpawnPause;
        break;
      case Life::ended:
        if (known.arena != nullptr) on_worker_end(i);
        break;
      case Life::spawn_failed:
        if (known.arena != nullptr && known.pid == 0) on_spawn_failed(i);
        break;
      case Life::empty:
        if (known.spawn_again && again && !lifecycle_.terminating() && !lifecycle_.closing_announced()) {
          held_back_ = false;
          spawn(i);
        }
        break;
      case Life::spawn_wanted: break;
    }
    if (lifecycle_.closed()) return;
  }
}

Supervisor::Departure Supervisor::departure_of(unsigned worker) const noexcept {
  const WorkerRecord& record = plan_.memory.worker_records[worker];
  const KnownWorker& known = workers_[worker];
  const int status = record.status.load(std::memory_order_relaxed);
  const bool retired = record.retiring.load(std::memory_order_acquire) != 0;
  std::uint32_t ready = known.seen_ready ? WorkerRecord::kTakesTasks : record.ready.load(std::memory_order_acquire);
  if (ready > WorkerRecord::kTakesTasks && !(WIFEXITED(status) && WEXITSTATUS(status) == kExitInitializerFailed))
    ready = WorkerRecord::kTakesTasks;  // overwritten: who gives a reason leaves with that code
  // At the end of the pool they leave by themselves.
  const bool left = lifecycle_.closing_announced() && status == kExitRetired;
  return {status, ready, known.kill_asked,
          !retired && !known.kill_asked && !left && ready <= WorkerRecord::kTakesTasks};
}

ProcessDeath Supervisor::death_of(unsigned worker) const noexcept {
  const WorkerRecord& record = plan_.memory.worker_records[worker];
  ProcessDeath death{.pid = workers_.pid_of(worker), .worker = worker};
  const int status = record.status.load(std::memory_order_relaxed);
  if (WIFSIGNALED(status)) death.signal = WTERMSIG(status);
  else death.exit_code = WEXITSTATUS(status);
  const Departure departure = departure_of(worker);
  death.left = !departure.died && !departure.killed_by_us;
  return death;
}

void Supervisor::for_each_last(const std::function<void(const ProcessDeath&)>& report) const {
  for (unsigned i = 0; i < workers_.size(); ++i) {
    const Life life = plan_.memory.worker_records[i].life.load(std::memory_order_acquire);
    if (workers_[i].arena == nullptr || (life != Life::alive && life != Life::ended)) continue;
    ProcessDeath death = death_of(i);
    death.left = true;
    if (life == Life::alive) death.signal = 0, death.exit_code = -1;  // nobody has noted how it ended
    report(death);
  }
}

void Supervisor::on_worker_end(unsigned worker) {  // Model: on_worker_end
  KnownWorker& known = workers_[worker];
  if (known.pid == 0) ++started_;
  known.pid = workers_.pid_of(worker);
  DeathNotice notice = known.death ? *known.death : DeathNotice(death_of(worker));
  if (deaths_.notify(notice)) return;
  if (known.arena != nullptr) known.death = notice;  // else it is replaced
  throw std::bad_alloc();
}

void Supervisor::count(const ProcessDeath& death) {
  if (departure_of(death.worker).died) ++died_;
}

void Supervisor::replace(unsigned worker) {
  const Departure departure = departure_of(worker);
  const std::string failure = failure_with(worker, departure);
  const std::string no_beginning = departure.ready == WorkerRecord::kCouldNotBegin ? words_of(worker) : std::string();
  vacate(worker);
  if (!failure.empty()) {
    lifecycle_.break_pool(failure);
    return;
  }
  if (!lifecycle_.terminating() && !lifecycle_.closing_announced()) {
    if (departure.ready == WorkerRecord::kCouldNotBegin) spawn_later(worker, no_beginning);
    else spawn(worker);
  }
  // The dead worker may have had a doorbell to ring to a sleeping worker or to a thread of ours.
  ring_all_workers(plan_.memory);
  plan_.owner_doorbell->ring();
}

// Why the pool cannot go on after that; empty if it can.
std::string Supervisor::failure_with(unsigned worker, const Departure& departure) {
  const auto [status, ready, killed_by_us, died] = departure;
  std::string failure;
  if (ready == WorkerRecord::kInitializerThrew) {
    failure = "its initializer failed in a worker: " + words_of(worker);
  } else if (ready == WorkerRecord::kLimitsRefused) {
    failure = "the limits of its workers cannot be set: " + words_of(worker);
  } else if (ready == 0 && !killed_by_us) {
    if (++deaths_at_start_ == 1) first_death_at_start_ = Clock::now();
    // And none got as far as being ready in between. Kills from outside may come faster than a busy machine starts workers.
    const bool from_outside = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (deaths_at_start_ > 4 + 4 * workers_.size() &&
        (!from_outside || Clock::now() - first_death_at_start_ > kLongestKilling))
      failure = "its workers die before they are ready" +
                std::string(plan_.initializer ? ", perhaps in the initializer; the last one " : "; the last one ") +
                way_of(status) + (plan_.initializer ? kOfParents : "");
  } else if (ready == WorkerRecord::kTakesTasks) {
    deaths_at_start_ = 0;
    if (too_many_die_idle(worker, departure))
      failure =
          "its workers die before they have begun a task, perhaps of what the initializer has started; the last one " +
          way_of(status) + kOfParents;
  }
  if (plan_.break_on_death && died && failure.empty())
    failure = "one of its workers died, process " + std::to_string(workers_[worker].pid) +
              ", and the pool was to end with it";
  return failure;
}

// Of what an initializer has left behind: nothing else runs there. Who has been killed was killed from outside.
bool Supervisor::too_many_die_idle(unsigned worker, const Departure& departure) noexcept {
  const WorkerRecord& record = plan_.memory.worker_records[worker];
  const bool has_run =
      record.finished.load(std::memory_order_relaxed) != 0 || record.current.load(std::memory_order_relaxed) != 0;
  if (!plan_.initializer || !departure.died || has_run ||
      (WIFSIGNALED(departure.status) && WTERMSIG(departure.status) == SIGKILL)) {
    if (has_run) deaths_idle_ = 0;
    return false;
  }
  const auto now = Clock::now();
  if (deaths_idle_ == 0 || now - first_death_idle_ > kLongestDyingIdle) {
    deaths_idle_ = 0;
    first_death_idle_ = now;
  }
  return ++deaths_idle_ > 4 + 4 * workers_.size();
}

// What a worker said about its end, before its arena is retired.
std::string Supervisor::words_of(unsigned worker) const {
  const WorkerRecord& record = plan_.memory.worker_records[worker];
  const std::uint64_t block = record.failure.load(), size = record.failure_size.load();
  const Arena* arena = workers_[worker].arena;
  std::string text = "it gave no reason";
  if (arena != nullptr && block != 0 && size < 1'000'000 && arena->extent().holds(block, size)) {
    try {
      std::rethrow_exception(
          decode_exception({reinterpret_cast<const char*>(plan_.region->at(block)), size}, record.pid.load(), 0));
    } catch (const RemoteError& e) {
      text = e.type_name() + ": " + e.message();
    } catch (const std::exception& e) {
      text = e.what();
    }
  }
  return text;
}

void Supervisor::vacate(unsigned worker) noexcept {
  plan_.region->retire(workers_[worker].arena);
  workers_[worker] = {};
  const std::uint64_t bit = std::uint64_t{1} << worker % 64;
  plan_.memory.control->idlers[worker / 64].spinning.fetch_and(~bit);
  plan_.memory.control->idlers[worker / 64].asleep.fetch_and(~bit);
  plan_.memory.worker_records[worker].life.store(Life::empty, std::memory_order_relaxed);
}

void Supervisor::spawn(unsigned worker) {
  WorkerRecord& record = plan_.memory.worker_records[worker];
  KnownWorker& known = workers_[worker];
  try {
    known.arena = plan_.region->make_arena(&record.returned, workers_.size());
  } catch (const std::exception&) {  // no addresses, or no memory to note them
    known.spawn_again = true;
    spawn_again_at_ = Clock::now() + spawn_pause_;
    return;
  }
  known.spawn_again = known.kill_asked = false;
  record.current.store(0, std::memory_order_relaxed);
  record.started_ns.store(0, std::memory_order_relaxed);
  record.finished.store(0, std::memory_order_relaxed);
  record.ready.store(0, std::memory_order_relaxed);
  record.retiring.store(0, std::memory_order_relaxed);
  record.failure.store(0, std::memory_order_relaxed);
  record.rests.store(0, std::memory_order_relaxed);
  record.doorbell.store(0, std::memory_order_relaxed);
  record.kill_wanted.store(0, std::memory_order_relaxed);
  record.returned.top.store(0, std::memory_order_relaxed);
  record.crash_signal.store(0, std::memory_order_relaxed);
  record.crash_stack.count = record.crash_stack.overflowed = 0;
  record.crash_note.size = 0;
  record.arena_offset = known.arena->extent().offset;
  record.arena_length = known.arena->extent().length;
  record.arena_check = check_of(record.arena_offset, record.arena_length);
  record.life.store(Life::spawn_wanted, std::memory_order_release);
  plan_.ring_server();
}

void Supervisor::on_spawn_failed(unsigned worker) {
  WorkerRecord& record = plan_.memory.worker_records[worker];
  const int error_number = record.status.load(std::memory_order_relaxed);
  plan_.region->retire(workers_[worker].arena);
  workers_[worker] = {};
  workers_[worker].spawn_again = true;  // whatever becomes of the words
  record.life.store(Life::empty, std::memory_order_relaxed);
  spawn_later(worker, "fork: " + std::generic_category().message(error_number) + " (errno " +
                          std::to_string(error_number) + ")");
}

// A replacement could not be forked, or not begin: again at growing pauses. The pool goes on with those it has; with
// none it has to say so.
void Supervisor::spawn_later(unsigned worker, const std::string& why) {
  workers_[worker].spawn_again = true;
  spawn_again_at_ = Clock::now() + spawn_pause_;
  spawn_pause_ = std::min(spawn_pause_ * 2, kLongestSpawnPause);
  const auto others = std::count_if(workers_.begin(), workers_.end(), [](const auto& w) { return w.arena != nullptr; });
  if (others == 0 && spawn_pause_ >= std::chrono::milliseconds(640))
    lifecycle_.break_pool("no worker is left and none can be started: " + why);
}

void Supervisor::hold_back(unsigned worker, Clock::time_point until) noexcept {
  workers_[worker].spawn_again = held_back_ = true;
  spawn_again_at_ = until;
}

void Supervisor::end_holding_back() noexcept {
  if (held_back_) spawn_again_at_ = {};
}

Deadline Supervisor::next_spawn() const noexcept {
  if (lifecycle_.terminating() || lifecycle_.closing_announced()) return std::nullopt;
  const bool any = std::any_of(workers_.begin(), workers_.end(), [](const auto& w) { return w.spawn_again; });
  return any ? Deadline(spawn_again_at_) : std::nullopt;
}

// A worker that runs something though it was not seen to when all that ran were killed: its slot was overwritten.
Deadline Supervisor::kill_who_stays() noexcept {
  if (!lifecycle_.terminating()) return std::nullopt;
  const auto now = Clock::now();
  const bool closing = lifecycle_.closing_announced();
  if (!may_stay_until_ || (closing && !were_told_to_leave_)) {
    may_stay_until_ = now + kLeavingInOrder;
    were_told_to_leave_ = closing;
    more_looks_ = closing ? kMostLooks : 0;
  }
  if (now < *may_stay_until_) return may_stay_until_;
  bool some_stay = !closing, some_are_killed = false;
  for (unsigned i = 0; i < workers_.size(); ++i) {
    const WorkerRecord& record = plan_.memory.worker_records[i];
    if (workers_[i].kill_asked || record.life.load(std::memory_order_acquire) != Life::alive) continue;
    if (!closing && record.current.load(std::memory_order_relaxed) == 0) continue;
    const bool leaves = closing && record.ready.load(std::memory_order_relaxed) == WorkerRecord::kTakesTasks;
    const char state = leaves && more_looks_ > 0 ? ProcessState::of(workers_.pid_of(i)).state() : '\0';
    if (state == 'R' || state == 'D') {
      some_stay = true;
    } else {
      workers_.ask_to_kill(i);
      some_are_killed = true;
    }
  }
  if (some_are_killed) plan_.ring_server();
  --more_looks_;
  may_stay_until_ = now + kLeavingInOrder;
  return some_stay ? may_stay_until_ : std::nullopt;
}

bool Supervisor::waits_for_server() const noexcept {
  for (unsigned i = 0; i < workers_.size(); ++i) {
    const WorkerRecord& record = plan_.memory.worker_records[i];
    const Life life = record.life.load(std::memory_order_acquire);
    if (life == Life::spawn_wanted) return true;
    if (life != Life::alive) continue;
    if (workers_[i].kill_asked) return true;
    if (record.retiring.load(std::memory_order_relaxed) != 0) return true;
  }
  return false;
}

// They are reaped elsewhere, and soon; the name is looked at, lest the number be another's by now.
void Supervisor::kill_orphans() const noexcept {
  for (unsigned i = 0; i < workers_.size(); ++i) {
    const WorkerRecord& record = plan_.memory.worker_records[i];
    const pid_t pid = record.pid.load(std::memory_order_relaxed);
    if (record.life.load(std::memory_order_acquire) != Life::alive || pid <= 0) continue;
    if (ProcessState::of(pid).name() == kWorkerName) sys::kill(pid, SIGKILL);
  }
}

// When the fork server leaves by itself it has waited for its workers. If it was killed, the kernel kills
// them, but that takes a moment, in which their memory must not be used for anything else.
bool Supervisor::workers_are_gone() const noexcept {
  kill_orphans();
  const auto deadline = Clock::now() + std::chrono::seconds(2);
  for (unsigned i = 0; i < workers_.size(); ++i) {
    if (plan_.memory.worker_records[i].life.load(std::memory_order_acquire) != Life::alive) continue;
    const pid_t pid = workers_.pid_of(i);
    if (pid > 0 && !wait_for_end_of(pid, deadline)) return false;
    sys::waitpid(pid, nullptr, WNOHANG);  // it may have become our child, if we are the reaper here
  }
  return true;
}

void Supervisor::retire_all() noexcept {
  for (unsigned i = 0; i < workers_.size(); ++i) {
    if (workers_[i].arena != nullptr) plan_.region->retire(workers_[i].arena);
    workers_[i] = {};
  }
}

unsigned Supervisor::alive() const noexcept {
  return static_cast<unsigned>(
      std::count_if(workers_.begin(), workers_.end(), [](const auto& w) { return w.pid != 0; }));
}

}  // namespace retinue::detail
