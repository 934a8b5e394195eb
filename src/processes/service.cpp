// The service thread of a pool: sleeps until a worker ends, a deadline passes, a callback is owed or
// waiting tasks can move into slots.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

#include <retinue/detail/tasks/owner_bell.hpp>

#include "codec/exceptions.hpp"
#include "system/calls.hpp"
#include "system/signals.hpp"
#include "pool_core.hpp"

namespace retinue::detail {
namespace {

constexpr std::chrono::seconds kLongestKilling{2};

}  // namespace

void PoolCore::start_service() {
  const std::lock_guard lock(mutex_);
  add_ref();  // the thread's own, so that a callback may drop the last Future of a pool
  int error_number = 0;
  {
    const SignalsBlocked blocked;  // signal handlers run in the program's own threads
    error_number = sys::pthread_create(
        &service_thread_,
        [](void* core) -> void* {
          static_cast<PoolCore*>(core)->serve();
          return nullptr;
        },
        this);
  }
  if (error_number != 0) {
    release();
    throw_call_failed("pthread_create", error_number, "the pool's service thread");
  }
  service_started_ = true;
}

void PoolCore::serve() noexcept {
  pthread_setname_np(pthread_self(), "retinue-service");
  OwnerBell::keep_sleeps_short();
  {
    const std::lock_guard lock(mutex_);  // held by start_service until it has stored service_thread_
  }
  Doorbell& bell = plan_.memory.control->service_bell;
  for (;;) {
    bell.drain();  // before any look at what it may have been rung for
    if (stop_service_.load(std::memory_order_acquire)) break;
    const Deadline deadline = service_round();
    bell.wait(deadline);
  }
  while (callbacks_owed()) run_owed_callbacks();
  release();
}

Deadline PoolCore::service_round() noexcept {
  Deadline next;
  const bool server_died = server_has_died();
  try {
    const Hold hold(*this);
    if (server_died) {
      if (!closed_) kill_orphans();
      break_pool(server_stood_still_ ? "its fork server was stopped and did not go on; make a new pool"
                                     : "its fork server was killed, and its workers with it; make a new pool");
    }
    if (!closed_) {
      tend_seats();
      refill_asked_ = false;
      pump();
      if (!backlog_.empty()) ask_for_refill();
      next = kill_overdue();
      for (const Tended& seat : tended_)
        if (seat.spawn_again) next = earlier(next, spawn_again_at_);
      next = earlier(next, tend_server());
      next = earlier(next, inspect());
    }
    next = earlier(next, tend_memory());
  } catch (const std::bad_alloc&) {
    next = Clock::now() + std::chrono::milliseconds(10);  // results stay in their slots until then
  }
  report_deaths();
  run_owed_callbacks();
  return next;
}

Subscription PoolCore::subscribe(std::function<void(const WorkerDeath&)> on_death) {
  return subscribers_.add(std::move(on_death));
}

void PoolCore::report_deaths() noexcept {
  std::vector<WorkerDeath> deaths;
  {
    const std::lock_guard lock(mutex_);
    if (unreported_deaths_.empty()) return;
    try {
      deaths.reserve(workers());
    } catch (const std::bad_alloc&) {
      return;  // at the next round
    }
    deaths.swap(unreported_deaths_);
  }
  if (subscribers_.empty()) return;
  call(plan_.hooks->before_callbacks);
  for (const WorkerDeath& death : deaths) {
    subscribers_.notify(death);
    if (foreign()) _exit(0);  // as in run_owed_callbacks
  }
  call(plan_.hooks->after_callbacks);
}

void PoolCore::run_owed_callbacks() noexcept {
  TaskState* next = nullptr;
  {
    const std::lock_guard lock(mutex_);
    next = owed_.take();
  }
  if (next == nullptr) return;
  call(plan_.hooks->before_callbacks);
  while (TaskState* task = next) {
    next = task->next;
    std::vector<std::function<void()>> callbacks;
    {
      const std::lock_guard lock(mutex_);
      callbacks.swap(task->callbacks);
    }
    for (auto& callback : callbacks) {
      try {
        callback();
      } catch (...) {
        // Promised: what a callback throws is dropped.
      }
      if (foreign()) _exit(0);  // it forked and let its child return: no second service thread
    }
    callbacks.clear();
    task->release();
  }
  call(plan_.hooks->after_callbacks);
}

bool PoolCore::callbacks_owed() const {
  const std::lock_guard lock(mutex_);
  return owed_.first != nullptr;
}

void PoolCore::tend_seats() {
  const bool again = Clock::now() >= spawn_again_at_;
  for (unsigned i = 0; i < workers(); ++i) {
    Seat& seat = plan_.memory.seats[i];
    switch (seat.life.load(std::memory_order_acquire)) {
      case Life::alive:
        if (tended_[i].pid == 0) {
          tended_[i].pid = seat.pid.load(std::memory_order_relaxed);
          ++stats_.workers_started;
        }
        if (seat.ready.load(std::memory_order_relaxed) != Seat::kTakesTasks) break;
        deaths_at_start_ = 0;
        if (!std::exchange(tended_[i].seen_ready, true)) spawn_pause_ = std::chrono::milliseconds(10);
        break;
      case Life::ended:
        if (tended_[i].part != nullptr) on_worker_end(i);
        break;
      case Life::spawn_failed:
        if (tended_[i].part != nullptr && tended_[i].pid == 0) on_spawn_failed(i);
        break;
      case Life::empty:
        if (tended_[i].spawn_again && again) want_spawn(i);
        break;
      case Life::spawn_wanted: break;
    }
    if (closed_) return;
  }
}

// The worker of a seat is dead and reaped: nobody else writes its slot, its part and its bits any more.
void PoolCore::on_worker_end(unsigned index) {  // Model: on_worker_end
  Seat& seat = plan_.memory.seats[index];
  Tended& tended = tended_[index];
  const int status = seat.status.load(std::memory_order_relaxed);
  const pid_t pid = tended.pid != 0 ? tended.pid : seat.pid.load(std::memory_order_relaxed);
  const bool killed_by_us = tended.kill_asked;
  const bool retired = seat.retiring.load(std::memory_order_acquire) != 0;
  std::uint32_t ready = tended.seen_ready ? Seat::kTakesTasks : seat.ready.load(std::memory_order_acquire);
  if (ready > Seat::kTakesTasks && !(WIFEXITED(status) && WEXITSTATUS(status) == kExitInitializerFailed))
    ready = Seat::kTakesTasks;  // overwritten: who gives a reason leaves with that code
  if (tended.pid == 0) ++stats_.workers_started;
  tended.pid = pid;

  for (std::uint64_t i = 0; i <= plan_.memory.slot_mask; ++i) {
    TaskState* task = owners_[i];
    if (task == nullptr) continue;
    Slot& slot = plan_.memory.slots[i];
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    const Tag tag = State::tag(state);
    const std::uint64_t position = task->position.load(std::memory_order_relaxed);
    const bool overwritten = !is_consistent(state, position);
    // The dead may have overwritten the slots of others. What becomes of those is found out by `inspect`.
    if (overwritten && seat.current.load(std::memory_order_relaxed) != position + 1) continue;
    if (!overwritten && (tag == Tag::ready || State::worker(state) != index)) continue;
    if (const unsigned other = worker_at(position); tag != Tag::done && other < workers() && other != index) continue;
    if (!overwritten && tag == Tag::done) {
      harvest(slot, *task, state);
      continue;
    }
    task->worker_pid = pid;
    // Model: reclaim
    if (task->wanted_ending != Ending::pending) {
      end_slot(slot, *task, task->wanted_ending);
    } else if (task->retries > 0 && !at_once_) {
      run_again(slot, *task);
    } else {
      task->death = std::make_unique<Death>();
      task->death->pid = pid;
      if (WIFSIGNALED(status)) {
        task->death->signal = WTERMSIG(status);
        if (const int cause = seat.crash_signal.load(std::memory_order_relaxed); cause != 0) {
          task->death->signal = cause > 0 && cause < 64 ? cause : WTERMSIG(status);
          task->death->stack = seat.crash_stack;
        }
      } else {
        task->death->exit_code = WEXITSTATUS(status);
      }
      end_slot(slot, *task, Ending::died);
    }
  }

  // At the end of the pool they leave by themselves.
  const bool left = told_to_close_.load(std::memory_order_acquire) && status == kExitRetired;
  const bool died = !retired && !killed_by_us && !left && ready <= Seat::kTakesTasks;
  if (died) ++stats_.workers_died;
  if ((died || killed_by_us) && unreported_deaths_.size() < unreported_deaths_.capacity())
    unreported_deaths_.push_back(WIFSIGNALED(status) ? WorkerDeath{pid, WTERMSIG(status), -1}
                                                     : WorkerDeath{pid, 0, WEXITSTATUS(status)});
  std::string trouble, no_beginning;
  if (ready == Seat::kInitializerThrew) {
    trouble = "its initializer failed in a worker: " + trouble_of(index);
  } else if (ready == Seat::kLimitsRefused) {
    trouble = "the limits of its workers cannot be set: " + trouble_of(index);
  } else if (ready == Seat::kCouldNotBegin) {
    no_beginning = trouble_of(index);
  } else if (ready == 0 && !killed_by_us) {
    if (++deaths_at_start_ == 1) first_death_at_start_ = Clock::now();
    // And none got as far as being ready in between. Kills from outside may come faster than a busy machine starts workers.
    const bool from_outside = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    if (deaths_at_start_ > 4 + 4 * workers() &&
        (!from_outside || Clock::now() - first_death_at_start_ > kLongestKilling))
      trouble = "its workers die before they are ready" +
                std::string(plan_.initializer ? ", perhaps in the initializer; the last one " : "; the last one ") +
                (WIFSIGNALED(status) ? "died of signal " + std::to_string(WTERMSIG(status))
                                     : "exited with code " + std::to_string(WEXITSTATUS(status)));
  } else if (ready == Seat::kTakesTasks) {
    deaths_at_start_ = 0;
  }
  if (plan_.break_on_death && died && trouble.empty())
    trouble = "one of its workers died, process " + std::to_string(pid) + ", and the pool was to end with it";

  region().retire(tended.part);
  tended = {};
  const std::uint64_t bit = std::uint64_t{1} << index % 64;
  plan_.memory.control->idlers[index / 64].spinning.fetch_and(~bit);
  plan_.memory.control->idlers[index / 64].asleep.fetch_and(~bit);
  seat.life.store(Life::empty, std::memory_order_relaxed);
  if (!trouble.empty()) {
    break_pool(trouble);
    return;
  }
  if (!at_once_ && !told_to_close_.load(std::memory_order_relaxed)) {
    if (ready == Seat::kCouldNotBegin) spawn_later(index, no_beginning);
    else want_spawn(index);
  }
  // The dead worker may have owed a ring to a sleeping worker or to a thread of ours.
  ring_all_workers(plan_.memory);
  plan_.owner_bell->ring();
}

// What a worker said about its end, before its part is retired.
std::string PoolCore::trouble_of(unsigned index) {
  const Seat& seat = plan_.memory.seats[index];
  const std::uint64_t block = seat.trouble.load(), size = seat.trouble_size.load();
  const Part* part = tended_[index].part;
  std::string text = "it gave no reason";
  if (part != nullptr && block != 0 && size < 1'000'000 && part->extent().holds(block, size)) {
    try {
      std::rethrow_exception(
          decode_exception({reinterpret_cast<const char*>(region().at(block)), size}, seat.pid.load(), 0));
    } catch (const RemoteError& e) {
      text = e.type_name() + ": " + e.message();
    } catch (const std::exception& e) {
      text = e.what();
    }
  }
  return text;
}

void PoolCore::want_spawn(unsigned index) {
  Seat& seat = plan_.memory.seats[index];
  Tended& tended = tended_[index];
  try {
    tended.part = region().make_part(&seat.returned, workers());
  } catch (const std::exception&) {  // no addresses, or no memory to note them
    tended.spawn_again = true;
    spawn_again_at_ = Clock::now() + spawn_pause_;
    return;
  }
  tended.spawn_again = tended.kill_asked = false;
  seat.current.store(0, std::memory_order_relaxed);
  seat.started_ns.store(0, std::memory_order_relaxed);
  seat.finished.store(0, std::memory_order_relaxed);
  seat.ready.store(0, std::memory_order_relaxed);
  seat.retiring.store(0, std::memory_order_relaxed);
  seat.trouble.store(0, std::memory_order_relaxed);
  seat.rests.store(0, std::memory_order_relaxed);
  seat.bell.store(0, std::memory_order_relaxed);
  seat.kill_wanted.store(0, std::memory_order_relaxed);
  seat.returned.top.store(0, std::memory_order_relaxed);
  seat.crash_signal.store(0, std::memory_order_relaxed);
  seat.crash_stack.count = 0;
  seat.part_offset = tended.part->extent().offset;
  seat.part_length = tended.part->extent().length;
  seat.part_check = check_of(seat.part_offset, seat.part_length);
  seat.life.store(Life::spawn_wanted, std::memory_order_release);
  plan_.ring_server();
}

void PoolCore::on_spawn_failed(unsigned index) {
  Seat& seat = plan_.memory.seats[index];
  const int error_number = seat.status.load(std::memory_order_relaxed);
  region().retire(tended_[index].part);
  tended_[index] = {};
  tended_[index].spawn_again = true;  // whatever becomes of the words
  seat.life.store(Life::empty, std::memory_order_relaxed);
  spawn_later(index, "fork: " + std::generic_category().message(error_number) + " (errno " +
                         std::to_string(error_number) + ")");
}

// A replacement could not be forked, or not begin: again at growing pauses. The pool goes on with those it has; with
// none it has to say so.
void PoolCore::spawn_later(unsigned index, const std::string& why) {
  tended_[index].spawn_again = true;
  spawn_again_at_ = Clock::now() + spawn_pause_;
  spawn_pause_ = std::min(spawn_pause_ * 2, std::chrono::milliseconds(1000));
  unsigned others = 0;
  for (const Tended& tended : tended_) others += tended.part != nullptr ? 1 : 0;
  if (others == 0 && spawn_pause_ >= std::chrono::milliseconds(640)) {
    break_pool("no worker is left and none can be started: " + why);
  }
}

// When a task was first seen claimed: stands in for its start where the worker was stopped before it
// noted that.
std::uint64_t PoolCore::first_seen(Tended& tended, std::uint64_t current, Clock::time_point now) {
  if (tended.seen != current) {
    tended.seen = current;
    tended.seen_at = static_cast<std::uint64_t>(now.time_since_epoch().count()) & ~Seat::kLoading;
  }
  return tended.seen_at;
}

std::atomic<std::chrono::nanoseconds> PoolCore::least_loading_limit_{std::chrono::seconds(60)};

// Stops tasks that ran longer than they may. A task not yet started, or still loading, cannot be due before it has run
// for the shortest timeout of all, so that is when to look again at the latest.
Deadline PoolCore::kill_overdue() {
  if (timed_ == 0) return std::nullopt;
  const auto now = Clock::now();
  const auto now_ns = static_cast<std::uint64_t>(now.time_since_epoch().count());
  Deadline next = now + shortest_timeout_;
  for (unsigned i = 0; i < workers(); ++i) {
    const Seat& seat = plan_.memory.seats[i];
    std::uint64_t started = seat.started_ns.load(std::memory_order_acquire);
    const std::uint64_t current = seat.current.load(std::memory_order_acquire);
    if (current == 0) continue;
    TaskState* task = owners_[(current - 1) & plan_.memory.slot_mask];
    if (task == nullptr || task->position.load(std::memory_order_relaxed) != current - 1) continue;
    if (task->timeout.count() <= 0 || task->wanted_ending != Ending::pending) continue;
    if (seat.started_ns.load(std::memory_order_acquire) != started) continue;
    const std::uint64_t state = slot_of(*task).state.load(std::memory_order_acquire);
    if (is_consistent(state, current - 1) && (State::tag(state) != Tag::running || State::worker(state) != i)) continue;
    if (started == 0 || started > now_ns) started = first_seen(tended_[i], current, now);
    const bool loading = (started & Seat::kLoading) != 0;
    const Clock::time_point due(std::chrono::nanoseconds(started) +
                                (loading ? loading_limit(task->timeout) : task->timeout));
    if (now >= due) condemn(*task, loading ? Ending::timed_out_loading : Ending::timed_out);  // Model: kill_overdue
    else next = earlier(next, due);
  }
  return next;
}

// Memory that nobody uses is given back to the system after a quiet while. Workers see to their own before they sleep;
// those that were asleep when results were let go of have to be woken for it.
Deadline PoolCore::tend_memory() noexcept {
  const Region::Tended tended = region().tend();
  if (quiet_whiles_ != tended.quiet_whiles) {
    quiet_whiles_ = tended.quiet_whiles;
    for (unsigned i = 0; i < workers(); ++i)
      if (plan_.memory.seats[i].returned.top.load(std::memory_order_relaxed) != 0) ring_worker(plan_.memory, i);
  }
  return tended.again;
}

// What a worker may be reading is given back when all of them are gone.
void PoolCore::keep_for_worker(TaskState& task) noexcept {
  StillRead it{task.payload.release_owner_block(), std::move(task.kept)};
  if (it.block.offset == 0 && !it.kept) return;
  try {
    still_read_.push_back(std::move(it));
  } catch (const std::bad_alloc&) {
    (void)it.kept.release();  // lost to this process, rather than used for something else while it is read
  }
}

// The pool cannot go on: every task that has not ended ends with PoolClosed and `why`.
void PoolCore::break_pool(const std::string& why) noexcept {
  if (closed_) return;
  closed_ = true;
  try {
    closed_why_ = why;
  } catch (const std::bad_alloc&) {
    closed_why_.clear();
  }
  // No worker may start or go on with a task whose future says that it never ran to its end, nor have its
  // arguments change under it until it is dead.
  for (unsigned i = 0; i < workers(); ++i) ask_to_kill(i);
  for (std::uint64_t i = 0; i <= plan_.memory.slot_mask; ++i) {
    TaskState* task = owners_[i];
    if (task == nullptr) continue;
    Slot& slot = plan_.memory.slots[i];
    std::uint64_t state = slot.state.load(std::memory_order_acquire);
    while (State::tag(state) == Tag::ready &&
           !slot.state.compare_exchange_weak(state, State::with_tag(state, Tag::free))) {
    }
    if (State::tag(state) != Tag::ready) keep_for_worker(*task);
    end_slot(slot, *task, task->wanted_ending != Ending::pending ? task->wanted_ending : Ending::closed);
  }
  for (TaskState* task : backlog_) {
    if (!task->ended()) end_task(*task, Ending::closed);
    let_go(*task);
  }
  backlog_.clear();
  tell_to_close();
  ring_all_workers(plan_.memory);
  plan_.ring_server();
  plan_.owner_bell->ring();
}

}  // namespace retinue::detail
