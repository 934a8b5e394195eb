#include "pool_core.hpp"

#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <retinue/cpu_count.hpp>
#include <retinue/detail/codec/entry.hpp>
#include <retinue/detail/tasks/owner_doorbell.hpp>

#include "inherited_memory.hpp"

namespace retinue::detail {
namespace {

constexpr std::size_t kMinSlots = 64, kMaxSlots = std::size_t{1} << 20;

/// For workers to be gone, once they are asked to by `terminate`.
constexpr std::chrono::seconds kLongestLeaving{5};

std::atomic<PoolCore*> left_alone{nullptr};  // pools of a parent, kept in reach for leak checkers

std::size_t slots_for(const ProcessPoolOptions& options, unsigned workers) {
  return std::bit_ceil(
      std::clamp<std::size_t>(std::max<std::size_t>(options.slot_count, 4 * workers), kMinSlots, kMaxSlots));
}

unsigned workers_for(const ProcessPoolOptions& options) {
  const unsigned workers = options.workers != 0 ? options.workers : std::min(cpu_count(), kMaxWorkers);
  if (workers > kMaxWorkers)
    throw Error("a ProcessPool has at most " + std::to_string(kMaxWorkers) + " workers, not " +
                std::to_string(workers));
  return workers;
}

// Those that the program names, and those of the memory that it shares with its workers.
std::optional<std::vector<int>> kept_descriptors(const ProcessPoolOptions& options, const PoolPlan& plan) {
  if (!options.close_descriptors) return std::nullopt;
  std::vector<int> kept = options.keep_descriptors;
  kept.push_back(plan.region->memfd());
  kept.push_back(plan.owner_doorbell->memfd());
  std::ranges::sort(kept);
  return kept;
}

// All but its memory.
PoolPlan plan_of(const ProcessPoolOptions& options, const ProcessHooks& hooks, const OwnerProcess& owner) {
  PoolPlan plan;
  plan.hooks = &hooks;
  plan.cpus = cpu_count();
  plan.region = &Region::of_this_process();
  plan.owner_doorbell = &OwnerDoorbell::of_this_process();
  plan.initializer = options.initializer;
  plan.max_tasks = options.max_tasks_per_worker;
  plan.max_memory = options.max_memory_per_worker;
  plan.confinement = confinement_of(options.limits);
  plan.kept_descriptors = kept_descriptors(options, plan);
  plan.break_on_death = options.break_on_worker_death;
  plan.longest_spin = options.spin.value_or(std::chrono::microseconds(100));
  plan.owner = owner.pid();
  return plan;
}

// Where forks take long, the last worker is made when it is needed, or a little later: what is done with a pool of two may
// be done before that, and the owner need not wait for three copies of its page tables when two serve it as well.
constexpr std::chrono::milliseconds kShortestHoldingBack{20}, kLookForNeed{1}, kLongestWaitForHeldBack{1000};

void wait_for_first_spawns(const PoolPlan& plan, Supervisor& supervisor, ForkServerHandle& server,
                           const FreshProgram* program) {
  const unsigned workers = plan.memory.workers;
  // A program started anew may have much to import.
  const auto deadline = Clock::now() + std::chrono::seconds(program != nullptr ? 600 : 60);
  for (;;) {
    unsigned answered = 0;
    int error_number = 0;
    for (unsigned i = 0; i < workers; ++i) {
      const Life life = plan.memory.worker_records[i].life.load(std::memory_order_acquire);
      if (life != Life::spawn_wanted) ++answered;
      if (life == Life::spawn_failed)
        error_number = plan.memory.worker_records[i].status.load(std::memory_order_relaxed);
    }
    if (error_number != 0) {
      unsigned alive = 0;
      for (unsigned i = 0; i < workers; ++i)
        if (plan.memory.worker_records[i].life.load(std::memory_order_acquire) == Life::alive) ++alive;
      throw_call_failed("fork", error_number,
                        "worker " + std::to_string(alive + 1) + " of " + std::to_string(workers) +
                            "; see ulimit -u and the cgroup's pids.max");
    }
    if (answered == workers) {
      supervisor.look_at_worker_records();
      return;
    }
    plan.memory.control->service_doorbell.wait(Clock::now() + std::chrono::milliseconds(100));
    plan.memory.control->service_doorbell.drain();
    if (int exit_code = 0; server.has_ended(&exit_code)) {
      if (program == nullptr && exit_code != 0)
        throw_call_failed("sigaction, prctl, or a listing of /proc/self/fd", exit_code, "in the pool's fork server");
      throw ResourceExhausted("the pool's fork server died while it started the workers", 0);
    }
    if (plan.hooks->interrupted != nullptr && plan.hooks->interrupted()) {
      // A program that is still importing does not see that the pool is closing. Our own child, not yet waited for: the
      // pid is still its.
      if (answered == 0) (void)server.kill_now();
      throw Error("the start of the pool was interrupted");
    }
    if (Clock::now() > deadline)
      throw ResourceExhausted(
          "the workers could not be started in time: " + std::to_string(answered) + " of " + std::to_string(workers),
          0);
  }
}

/// What a language's runtime needs around callbacks.
class DuringCallbacks {
 public:
  explicit DuringCallbacks(const ProcessHooks& hooks) noexcept : hooks_(hooks) { call(hooks_.before_callbacks); }
  ~DuringCallbacks() { call(hooks_.after_callbacks); }
  DuringCallbacks(const DuringCallbacks&) = delete;
  DuringCallbacks& operator=(const DuringCallbacks&) = delete;

 private:
  const ProcessHooks& hooks_;
};

// Of workers that left because the pool ends, or died with their fork server.
void report_last_deaths(PoolLock& lock, const Supervisor& supervisor, DeathReports& reports) noexcept {
  try {
    const std::lock_guard held(lock.mutex());
    supervisor.for_each_last([&reports](const ProcessDeath& death) { reports.add(death); });
  } catch (const std::bad_alloc&) {
    // Those that were added are reported.
  }
  reports.report_last();
}

}  // namespace

void add_ref(PoolCore& core) noexcept { core.add_ref(); }
void release(PoolCore& core) noexcept { core.release(); }

ControlMemory::ControlMemory(PoolPlan& plan, unsigned workers, std::size_t slots)
    : region_(*plan.region), extent_(region_.allocate_control(PoolMemory::bytes_needed(workers, slots))) {
  plan.memory = PoolMemory::lay_out(region_.at(extent_.offset), workers, slots);
}

PoolCore::PoolCore(const ProcessPoolOptions& options, const ProcessHooks& hooks, const FreshProgram* program)
    : plan_(plan_of(options, hooks, owner_)),
      control_(plan_, workers_for(options), slots_for(options, workers_for(options))),
      lifecycle_(plan_, [this] { end_what_is_open(); }),
      open_(plan_),
      workers_(plan_),
      ring_(plan_, workers_, open_),
      lock_(plan_, ring_),
      cancellation_(plan_, ring_, open_, workers_),
      timeouts_(plan_, ring_, open_, cancellation_),
      reclaim_(plan_, ring_, lifecycle_, deaths_),
      death_reports_(lock_, owner_, deaths_),
      supervisor_(plan_, workers_, lifecycle_, deaths_),
      slot_inspection_(plan_, ring_, workers_, cancellation_, reclaim_),
      inspection_(plan_, ring_, open_, workers_, supervisor_, lifecycle_, slot_inspection_),
      server_(plan_),
      service_(plan_, lock_, open_, owner_, [this] { return do_chores(); }),
      waiting_(plan_, lock_, ring_, open_, lifecycle_, owner_, service_) {
  // Most entries are of the program that this function is part of: what names them is found before the fork, once.
  name_code(reinterpret_cast<const void*>(&PoolMemory::lay_out));
  const auto begin = Clock::now();
  const bool holds_back = program == nullptr && workers() > 1 && own_private_memory() >= kLargeProcess;
  const unsigned at_once = workers() - (holds_back ? 1 : 0);
  try {
    for (unsigned i = 0; i < at_once; ++i) {
      supervisor_.spawn(i);
      if (workers_[i].arena == nullptr)
        throw ResourceExhausted(
            "no room in the shared region for worker " + std::to_string(i + 1) + " of " + std::to_string(workers()), 0);
    }
    server_.start(plan_, program);
    wait_for_first_spawns(plan_, supervisor_, server_, program);
    const auto ready = Clock::now();
    if (holds_back)
      supervisor_.hold_back(at_once, ready + std::max<Clock::duration>(kShortestHoldingBack, ready - begin));
    add_ref();
    service_.start(CoreRef(this));
    region().add_trim_subscriber(plan_.memory.control->service_doorbell);
  } catch (...) {
    end_processes();
    throw;
  }
}

Deadline PoolCore::do_chores() noexcept {
  Deadline next;
  const bool server_died = server_.has_ended() && !lifecycle_.closing_announced();
  try {
    const Hold hold(lock_);
    if (server_died) {
      if (!lifecycle_.closed()) supervisor_.kill_orphans();
      lifecycle_.break_pool(server_.was_stopped()
                                ? "its fork server was stopped and did not go on; make a new pool"
                                : "its fork server was killed, and its workers with it; make a new pool");
    }
    if (!lifecycle_.closed()) {
      if (open_.unfinished() >= workers()) supervisor_.end_holding_back();
      supervisor_.look_at_worker_records();
      ring_.note_refill_ring();
      ring_.collect();
      if (ring_.has_backlog()) ring_.ask_for_refill();
      const Deadline spawn = supervisor_.next_spawn();
      next = earlier(timeouts_.kill_overdue(), spawn);
      if (spawn && supervisor_.holds_back()) next = earlier(next, Clock::now() + kLookForNeed);
      next = earlier(next, supervisor_.kill_who_stays());
      const auto look = server_.look(supervisor_.waits_for_server(), lifecycle_.terminate_deadline());
      if (look.kill_failed)
        lifecycle_.break_pool(
            "its fork server was stopped, and this process may not kill it (EPERM), as it has given up the rights that "
            "it had when it made the pool; process " +
            std::to_string(server_.pid()) + " is left");
      next = earlier(next, look.next);
      if (lock_.inspecting()) {
        const Deadline next_look = inspection_.inspect();
        if (!next_look) lock_.stop_inspecting();
        next = earlier(next, next_look);
      }
    }
    next = earlier(next, trim_idle_memory());
  } catch (const std::bad_alloc&) {
    next = Clock::now() + std::chrono::milliseconds(10);  // results stay in their slots until then
  }
  next = earlier(next, death_reports_.report());
  if (owner_.made_elsewhere()) _exit(0);  // a subscriber forked and let its child return: no second service thread
  return next;
}

// Memory that nobody uses is returned to the system after an idle period. Workers see to their own before they sleep;
// those that were asleep when results were released have to be woken for it.
Deadline PoolCore::trim_idle_memory() noexcept {
  const Region::TrimSchedule schedule = region().trim_when_idle();
  if (idle_periods_ != schedule.idle_periods) {
    idle_periods_ = schedule.idle_periods;
    for (unsigned i = 0; i < workers(); ++i)
      if (plan_.memory.worker_records[i].returned.top.load(std::memory_order_relaxed) != 0)
        ring_worker(plan_.memory, i);
  }
  if (recalls_ != schedule.recalls) {
    recalls_ = schedule.recalls;
    ring_all_workers(plan_.memory);
  }
  return schedule.again;
}

// Of a pool that has broken.
void PoolCore::end_what_is_open() noexcept {
  // No worker may start or go on with a task whose future says that it never ran to its end, nor have its
  // arguments change under it until it is dead.
  workers_.ask_to_kill_all();
  reclaim_.from_broken_pool();
  lifecycle_.announce_closing();
  ring_all_workers(plan_.memory);
  plan_.ring_server();
  plan_.owner_doorbell->ring();
}

void PoolCore::close(bool cancel_pending, bool at_once) {
  if (owner_.in_forked_child()) return;
  {
    std::unique_lock lock(lock_.mutex());
    if ((cancel_pending || at_once) && !lifecycle_.closed()) cancellation_.cancel_unstarted();
    if (at_once && !lifecycle_.closed()) {
      lifecycle_.terminate(Clock::now() + kLongestLeaving);
      cancellation_.kill_running();  // the idle leave in order, see end_processes
      plan_.ring_server();
      plan_.ring_service();  // it sees to those that do not
    }
    plan_.owner_doorbell->ring();
    if (!lifecycle_.begin_end()) {  // another thread ends the pool: wait for it
      if (!service_.is_this()) lifecycle_.wait_for_end(lock);
      return;
    }
  }
  try {
    waiting_.wait_until_idle(std::nullopt);
  } catch (const std::bad_alloc&) {
    const Hold hold(lock_);
    lifecycle_.break_pool("there was no memory left to read its results with");
  }
  end_processes();
  const std::lock_guard lock(lock_.mutex());
  lifecycle_.note_end();
}

// Every process of the pool is asked to leave, waited for, and, if it does not, killed. Also after a
// constructor that failed half way.
void PoolCore::end_processes() noexcept {  // Model: shutdown
  lifecycle_.announce_closing();
  ring_all_workers(plan_.memory);
  plan_.ring_server();
  plan_.ring_service();
  while (service_.is_this() && lifecycle_.terminating() &&
         !server_.has_ended()) {  // a callback has terminated the pool
    {
      const Hold hold(lock_);
      if (!supervisor_.kill_who_stays()) break;
    }
    std::this_thread::sleep_for(kLookForNeed);
  }
  const bool lost = server_.pid() != 0 && !(server_.end() && supervisor_.workers_are_gone());
  service_.stop();
  server_.stop_watching();
  if (!lost) report_last_deaths(lock_, supervisor_, death_reports_);
  {
    const std::lock_guard lock(lock_.mutex());  // stats() may be reading
    supervisor_.retire_all();
  }
  reclaim_.free_still_read(lost);
  if (lost) control_.lose();
  region().remove_trim_subscriber(plan_.memory.control->service_doorbell);
}

void PoolCore::destroy() noexcept {
  // In a forked child it is left alone: destroying what threads of the parent were using could wait for them.
  if (owner_.in_forked_child()) left_alone_ = left_alone.exchange(this);
  else delete this;
}

PoolCore::~PoolCore() {
  if (!lifecycle_.ended()) control_.lose();
}

std::string PoolCore::closed_why() const {
  if (owner_.in_forked_child()) return "it belongs to the process that made its pool, and this is a forked child";
  const std::lock_guard lock(lock_.mutex());
  return lifecycle_.closed_why().empty() ? "the pool was shut down" : lifecycle_.closed_why();
}

void PoolCore::check_open() {
  owner_.refuse_if_made_elsewhere();
  const std::lock_guard lock(lock_.mutex());
  lifecycle_.require_open();
}

Subscription PoolCore::subscribe(std::function<void(const WorkerDeath&)> on_death) {
  owner_.refuse_if_made_elsewhere();
  // A runtime's callback needs what its other callbacks need.
  return std::make_shared<const Liveness::Subscription>(death_reports_.failures().subscribe(
      [hooks = plan_.hooks, on_death = std::move(on_death)](const ProcessDeath& death) {
        const DuringCallbacks during(*hooks);
        on_death({death.pid, death.signal, death.exit_code});
      }));
}

PoolStats PoolCore::stats() {
  const auto counted = [this] {
    const TaskCounts& counts = open_.counts();
    PoolStats stats;
    stats.submitted = counts.submitted;
    stats.finished = counts.finished;
    stats.failed = counts.failed;
    stats.cancelled = counts.cancelled;
    stats.retried = counts.retried;
    stats.workers = workers();
    stats.workers_died = supervisor_.died();
    stats.workers_started = supervisor_.started();
    return stats;
  };
  if (owner_.in_forked_child()) return counted();
  const Hold hold(lock_);
  if (!lifecycle_.closed()) ring_.collect();
  PoolStats stats = counted();
  stats.waiting = open_.unfinished() - ring_.in_slots();
  stats.in_slots = ring_.in_slots();
  stats.workers_alive = supervisor_.alive();
  const Region::Usage usage = region().usage();
  stats.bytes_in_use = usage.owner_bytes + usage.result_bytes;
  stats.bytes_peak = usage.peak_bytes;
  stats.blocks = usage.blocks;
  stats.bytes_warm = usage.warm_bytes;
  return stats;
}

// Who asks for all workers gets all. The service thread sees to it; if there are no processes to be had, it has tried.
void PoolCore::wait_for_held_back(std::unique_lock<std::mutex>& lock) {
  const auto& life = plan_.memory.worker_records[workers() - 1].life;
  if (!supervisor_.holds_back() && life.load(std::memory_order_acquire) != Life::spawn_wanted) return;
  const auto deadline = Clock::now() + kLongestWaitForHeldBack;
  const bool waits = !service_.is_this();
  supervisor_.end_holding_back();
  plan_.ring_service();
  while (waits && Clock::now() < deadline && !lifecycle_.closed() && !lifecycle_.closing_announced() &&
         (supervisor_.holds_back() || life.load(std::memory_order_acquire) == Life::spawn_wanted)) {
    lock.unlock();
    std::this_thread::sleep_for(kLookForNeed);
    lock.lock();
  }
}

std::vector<pid_t> PoolCore::worker_pids() {
  std::vector<pid_t> pids;
  if (!owner_.in_forked_child()) {
    std::unique_lock lock(lock_.mutex());
    if (lifecycle_.closed()) return pids;
    wait_for_held_back(lock);
  }
  for (unsigned i = 0; i < workers(); ++i) {
    const WorkerRecord& record = plan_.memory.worker_records[i];
    if (record.life.load(std::memory_order_acquire) == Life::alive) pids.push_back(record.pid.load());
  }
  return pids;
}

}  // namespace retinue::detail
