// The owner's side of a process pool.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <string>
#include <vector>

#include <retinue/detail/processes/process_backend.hpp>
#include <retinue/pool_stats.hpp>
#include <retinue/process_pool_options.hpp>

#include "memory/region.hpp"
#include "control.hpp"
#include "end_watch.hpp"
#include "inspection.hpp"
#include "spin.hpp"
#include "tasks/death_subscribers.hpp"
#include "task_state.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// The owner's side of one pool: hands out slots, reads results, tends the workers. Lives in private
/// memory of the owner and is never touched by workers. Thread-safe: one mutex guards the bookkeeping,
/// is never held over user code or a sleep, and no other process ever waits for it.
///
/// Invariants (with the mutex held):
///   I1  positions below `oldest_` are free, or their slot is in `stragglers_`, or reused.
///   I2  a slot whose `owners_` entry is null is free, and no worker touches it.
///   I3  tasks in `backlog_` are younger than all in slots; it is empty or slots are full.
///   I4  a task counts in `unfinished_` from its submit to its end, and ends once.
///   I5  nothing is published once `closed_` is set by the end of a shutdown or by a break.
///
/// Who is killed when: a worker: `on_worker_end` (service thread) ends or repeats its task and fills its
/// seat anew. The fork server: `break_pool`. The owner: the fork server ends all.
class PoolCore final : public ProcessBackend {
 public:
  PoolCore(const ProcessPoolOptions& options, const ProcessHooks& hooks, const FreshProgram* program = nullptr);

  // Any thread -------------------------------------------------------------------------------------
  Ref<EncodedCompletion> submit(EntryRef entry, StagedPayload& arguments, const TaskOptions& options) override;
  void submit_many(std::span<const EncodedCall> calls, const TaskOptions& options,
                   std::vector<Ref<EncodedCompletion>>& submitted) override;
  bool is_local() const noexcept override { return false; }
  Ref<EncodedCompletion> submit_function(std::function<void()> function, const TaskOptions& options) override;
  BackendStats statistics() override;
  Subscription subscribe(std::function<void(const WorkerDeath&)> on_death) override;
  using Backend::cancel;
  bool done(TaskState& task) noexcept;
  bool wait(TaskState& task, const Deadline& deadline);
  bool cancel(TaskState& task, bool force);
  void on_done(TaskState& task, std::function<void()> callback);
  bool arm(TaskState& task);
  void progress();
  bool wait_until_idle(const Deadline& deadline) override;
  bool is_running(const TaskState& task) noexcept;
  /// Takes the block of an ended task's value; no data if it has none. Throws what the task ended with, and Error if it
  /// was taken before.
  SharedMemory take_result(TaskState& task);
  void check_open() override;
  void shutdown(bool cancel_pending) override;
  void terminate() override;
  PoolStats stats() override;
  std::vector<pid_t> worker_pids() override;
  std::unique_ptr<MapWindow> open_map(EntryRef entry, const TaskOptions& options, Order order) override;
  unsigned workers() const noexcept override { return plan_.memory.workers; }
  bool foreign() const noexcept override;
  /// The child alone; dearer.
  bool in_forked_child() const noexcept;
  std::string closed_why() const;
  /// Throws PoolClosed in the child, Error for another copy.
  void refuse_foreign() const;

  // For maps ---------------------------------------------------------------------------------------
  struct Staged {
    TaskState* task;
    const std::byte* small;  ///< arguments of up to Slot::kInlineBytes; larger ones are in the task's payload
    std::uint64_t size;
  };
  /// Submits several at once, which are lent: they live until `abandon`. Throws PoolClosed and takes none.
  /// If it throws bad_alloc, the first `taken` tasks were submitted.
  void submit_all(std::span<const Staged> tasks, std::size_t& taken);
  /// Reads finished slots. True if no task was left that a free worker could claim.
  bool collect();
  /// Waits until `first` or any of `others` is done, `nudged` is set, or the deadline passes.
  void wait_for_any_of(TaskState& first, std::span<TaskState* const> others, const std::atomic<bool>& nudged,
                       const Deadline& deadline);
  /// On a crowded machine, sleeps until `task` is done, `longest` at the most; false, at once, on others.
  bool sleep_for_bulk(TaskState& task, std::chrono::nanoseconds longest);
  bool sleep_for_half(std::chrono::nanoseconds longest);
  /// Waits until `list`, which the pool appends to, is not empty, or until no task is left that a free
  /// worker could claim, or `nudged` is set, or the deadline passes.
  void wait_for_finished(const FinishedList& list, const std::atomic<bool>& nudged, const Deadline& deadline);
  /// Waits until `nudged` is set; false if the deadline passed first.
  bool wait_for_nudge(const std::atomic<bool>& nudged, const Deadline& deadline);
  /// Has those that wait look again.
  void ring_owner() noexcept;
  /// Takes all of `list`, oldest first, linked by `next`; null if it is empty.
  TaskState* take_finished(FinishedList& list);
  /// Lets go of a map's tasks: takes back what has not started, forgets where the others shall be listed. `kept`, if it is
  /// not null, is let go of once these have ended.
  void abandon(std::span<TaskState* const> tasks, const std::shared_ptr<const void>& kept, bool at_once) noexcept;

  /// How long a task with that timeout may take to load its function and its arguments.
  static std::chrono::nanoseconds loading_limit(std::chrono::nanoseconds timeout) noexcept {
    return std::max(timeout, least_loading_limit_.load(std::memory_order_relaxed));
  }
  /// For tests, which cannot wait for so long.
  static void set_least_loading_limit(std::chrono::nanoseconds time) noexcept { least_loading_limit_.store(time); }

  /// For TaskState's destructor and its like.
  Region& region() const noexcept { return *plan_.region; }
  const OwnerBell& bell() const noexcept { return *plan_.owner_bell; }

 private:
  ~PoolCore() override;
  void destroy() noexcept override;

  struct Tended {
    Part* part = nullptr;
    pid_t pid = 0;
    bool spawn_again = false;  // it could not be forked or not begin: try later
    bool seen_ready = false;
    bool kill_asked = false;
    unsigned odd = 0;                     // looks in a row that found its life or its pid overwritten
    std::uint64_t seen = 0, seen_at = 0;  // a claimed task without a start, and when it was seen (ns)
  };

  /// Holds the mutex; when it lets go, what was published meanwhile is shown to the workers and, if need
  /// be, one of them woken.
  class Hold {
   public:
    explicit Hold(PoolCore& core) : core_(core) { core.mutex_.lock(); }
    ~Hold();
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    PoolCore& core_;
  };

  // Flow of tasks (task_flow.cpp), with the mutex held ---------------------------------------------
  void require_open() const;
  Ref<TaskState> new_task(EntryRef entry, StagedPayload& arguments, const TaskOptions& options,
                          std::uint32_t references);
  void enqueue(TaskState& task, const std::byte* small, std::uint64_t size);
  void end_unrun(TaskState& task) noexcept;
  Slot* free_slot();
  void publish(Slot& slot, TaskState& task, const std::byte* small, std::uint64_t size);
  bool refill();
  void harvest(Slot& slot, TaskState& task, std::uint64_t state);
  void end_slot(Slot& slot, TaskState& task, Ending ending);
  void end_task(TaskState& task, Ending ending) noexcept;
  static void let_go(TaskState& task) noexcept;
  pid_t pid_of(unsigned worker) const noexcept;
  bool pump();
  bool mark(TaskState& task, std::uint64_t ring);
  bool mark_what_ends_next();
  void ask_for_refill();
  void take_back(Slot& slot, TaskState& task, std::uint64_t state);
  bool condemn(TaskState& task, Ending ending);
  void ask_to_kill(unsigned worker) noexcept;
  void run_again(Slot& slot, TaskState& task);
  void cancel_unstarted();
  void abandon_with_mutex(std::span<TaskState* const> tasks, const std::shared_ptr<const void>& kept,
                          bool at_once) noexcept;
  void keep_until_done(TaskState& task, const std::shared_ptr<const void>& kept) noexcept;
  bool harvest_if_done(TaskState& task);
  bool unclaimed_left() const noexcept { return oldest_ < tail_ || !backlog_.empty(); }
  bool is_consistent(std::uint64_t state, std::uint64_t position) const noexcept;
  static bool is_done(std::uint64_t state, const TaskState& task) noexcept {
    return State::tag(state) == Tag::done && State::is_at(state, task.position.load(std::memory_order_relaxed));
  }
  unsigned worker_at(std::uint64_t position) const noexcept;
  /// Wakes a worker if need be; without the mutex. `was_idle`: one task was published, and nothing was in slots before.
  void alert(bool was_idle) noexcept;
  Slot& slot_of(const TaskState& task) const noexcept {
    return plan_.memory.slot(task.position.load(std::memory_order_relaxed));
  }

  // Waiting (waiting.cpp) ---------------------------------------------------------------------------
  template <class Ready>
  bool sleep_until(const Deadline& deadline, const std::uint32_t& mask, Ready&& ready);
  /// How long a thread may poll before it sleeps; zero if not at all.
  std::chrono::nanoseconds longest_spin(const Deadline& deadline) const noexcept;
  bool crowded() const noexcept { return workers() >= plan_.cpus; }
  bool on_service_thread() const noexcept;
  bool end_if_foreign(TaskState& task) noexcept;

  /// For workers to be gone, or the fork server, once they are told.
  static constexpr std::chrono::seconds kLongestLeaving{5};
  /// For a fork server that was stopped to go on, if anything waits for it.
  static constexpr std::chrono::seconds kServerLookEvery{1};
  static constexpr int kMostLooksAtStopped = 5;

  // What stray writes have changed (inspection.cpp, slot_inspection.cpp), with the mutex held -------------
  /// Looks whether shared memory is as it should be, if it is time for that, and mends it. Returns when the next look is due.
  Deadline inspect();
  bool mend_words();
  bool mend_seats();
  bool mend_head();
  bool inspect_slots(bool all);
  bool inspect_slot(Slot& slot, TaskState& task, std::vector<Suspect>& suspects);
  bool judge(Slot& slot, TaskState& task, const Suspect& suspect);
  void end_overwritten(Slot& slot, TaskState& task);
  bool publish_again();
  bool can_be(std::uint64_t state, std::uint64_t position) const noexcept;
  bool is_ready_at(std::uint64_t position) const noexcept;
  bool runs(unsigned worker, std::uint64_t position) const noexcept;
  bool is_elsewhere(unsigned worker, std::uint64_t position) const noexcept;
  bool may_be_in(unsigned worker, const Suspect& suspect) const noexcept;
  std::uint64_t turns_of(unsigned worker) const noexcept;

  // Workers and the service thread (service.cpp) ----------------------------------------------------
  void fork_server(const FreshProgram* program);
  void wait_for_first_spawns(const FreshProgram* program);
  void start_service();
  void serve() noexcept;
  /// One round of chores, callbacks included; returns when the next is due.
  Deadline service_round() noexcept;
  void run_owed_callbacks() noexcept;
  void report_deaths() noexcept;
  bool callbacks_owed() const;
  Deadline tend_memory() noexcept;
  void tend_seats();
  void on_worker_end(unsigned index);
  void on_spawn_failed(unsigned index);
  void spawn_later(unsigned index, const std::string& why);
  void want_spawn(unsigned index);
  Deadline kill_overdue();
  static std::atomic<std::chrono::nanoseconds> least_loading_limit_;
  static std::uint64_t first_seen(Tended& tended, std::uint64_t current, Clock::time_point now);
  void break_pool(const std::string& why) noexcept;
  void keep_for_worker(TaskState& task) noexcept;
  bool server_has_ended(int* exit_code = nullptr) const noexcept;
  bool server_has_died(int* exit_code = nullptr) const noexcept;  // before it was to
  bool wait_for_server(std::chrono::milliseconds longest) const noexcept;
  std::string trouble_of(unsigned index);
  bool waits_for_server() const noexcept;  // server_watch.cpp
  Deadline tend_server();
  bool kill_server() const noexcept;
  void kill_orphans() noexcept;
  void close(bool cancel_pending, bool at_once);
  void tell_to_close() noexcept;
  void end_processes() noexcept;
  bool end_server() noexcept;
  bool workers_are_gone() noexcept;

  // Constant after construction
  PoolPlan plan_;
  Extent control_extent_;
  std::uint64_t generation_;
  PoolCore* left_alone_ = nullptr;
  std::optional<EndWatch> server_end_;
  pid_t server_pid_ = 0;
  pthread_t service_thread_{};
  bool service_started_ = false;

  mutable std::mutex mutex_;
  // Guarded by mutex_
  std::vector<TaskState*> owners_;  // by slot; each holds a reference, unless it is lent
  std::uint64_t tail_ = 0;          // next position to publish
  std::uint64_t oldest_ = 0;        // next position to look at for results
  struct Straggler {
    std::uint64_t position;
    std::uint32_t slot;
  };
  std::vector<Straggler> stragglers_;  // slots found running when `oldest_` went past them
  std::deque<TaskState*> backlog_;     // likewise; ended ones are passed over
  std::uint64_t in_slots_ = 0;
  std::uint64_t unfinished_ = 0;
  std::uint64_t timed_ = 0;  // unfinished tasks with a timeout
  std::chrono::nanoseconds shortest_timeout_{0};
  Inspection inspection_;
  std::vector<WorkerDeath> unreported_deaths_;  // has room for one of each worker
  FinishedList owed_;                           // tasks whose callbacks are due; each holds a reference
  bool refill_asked_ = false;
  bool published_ = false;  // since the mutex was taken ...
  bool was_idle_ = false;   // ... one task, and nothing was in slots before
  bool closed_ = false;
  std::string closed_why_;
  enum class Stage { open, draining, ended } stage_ = Stage::open;
  PoolStats stats_;
  std::vector<Tended> tended_;                // by seat
  unsigned deaths_at_start_ = 0;              // in a row, before a worker was ready ...
  Clock::time_point first_death_at_start_{};  // ... and when the first of them was
  Clock::time_point spawn_again_at_{};
  std::chrono::milliseconds spawn_pause_{10};
  bool at_once_ = false;               // terminate: workers are not replaced ...
  Clock::time_point at_once_until_{};  // ... and by then are gone, or the fork server is killed, which takes them along
  Deadline server_look_;               // when to look at the fork server again; nullopt: nothing waits for it
  int looks_at_stopped_ = 0;           // in a row
  bool server_stood_still_ = false;    // and was killed for that
  std::condition_variable stage_changed_;
  struct StillRead {
    Payload::OwnerBlock block;
    std::unique_ptr<KeptMemory> kept;
  };
  std::vector<StillRead> still_read_;  // arguments of tasks that ran when the pool broke
  std::uint64_t quiet_whiles_ = 0;     // of the region, that this pool's workers know of
  bool control_lost_ = false;          // a worker may still be alive: its memory cannot be used again
  std::atomic<bool> stop_service_{false};
  DeathSubscribers subscribers_;            // locks by itself
  std::atomic<bool> told_to_close_{false};  // what `closing` says, unless it was overwritten
};

}  // namespace retinue::detail
