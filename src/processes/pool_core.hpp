// The owner's side of a process pool.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <retinue/detail/processes/process_backend.hpp>
#include <retinue/pool_stats.hpp>
#include <retinue/process_pool_options.hpp>

#include "family/liveness.hpp"
#include "memory/region.hpp"
#include "cancellation.hpp"
#include "death_reports.hpp"
#include "fork_server_handle.hpp"
#include "inspection.hpp"
#include "known_workers.hpp"
#include "lifecycle.hpp"
#include "open_tasks.hpp"
#include "owner_process.hpp"
#include "pool_lock.hpp"
#include "reclaim.hpp"
#include "service_thread.hpp"
#include "slot_inspection.hpp"
#include "supervisor.hpp"
#include "task_ring.hpp"
#include "task_state.hpp"
#include "timeout_watch.hpp"
#include "waiting.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// A pool's shared memory, taken on construction and laid out into the plan; freed at the end unless it is lost.
class ControlMemory {
 public:
  ControlMemory(PoolPlan& plan, unsigned workers, std::size_t slots);
  ControlMemory(const ControlMemory&) = delete;
  ControlMemory& operator=(const ControlMemory&) = delete;
  ~ControlMemory() {
    if (!lost_) region_.free_control(extent_);
  }

  /// A process may still use it: it cannot be used for anything else.
  void lose() noexcept { lost_ = true; }

 private:
  Region& region_;
  Extent extent_;
  bool lost_ = false;
};

/// The owner's side of one pool, made of parts that own what they know; this holds what crosses them. Lives in private
/// memory of the owner and is never touched by workers. Thread-safe: one mutex (PoolLock) guards the bookkeeping of all parts.
///
/// What a kill does. Of a worker: the Supervisor (service thread) has its task ended or repeated and its record filled
/// anew. Of the fork server: the pool breaks. Of the owner: the fork server ends all.
class PoolCore final : public ProcessBackend {
 public:
  PoolCore(const ProcessPoolOptions& options, const ProcessHooks& hooks, const FreshProgram* program = nullptr);

  // Any thread -------------------------------------------------------------------------------------
  Ref<EncodedCompletion> submit(EntryRef entry, StagedPayload& arguments, const TaskOptions& options) override;
  void submit_many(std::span<const EncodedCall> calls, const TaskOptions& options,
                   std::vector<Ref<EncodedCompletion>>& submitted) override;
  Subscription subscribe(std::function<void(const WorkerDeath&)> on_death) override;
  using Backend::cancel;
  bool cancel(TaskState& task, bool force);
  void on_done(TaskState& task, std::function<void()> callback);
  /// Takes the block of an ended task's value; no data if it has none. Throws what the task ended with, and Error if it
  /// was taken before.
  SharedMemory take_result(TaskState& task);
  void check_open() override;
  bool wait_until_idle(const Deadline& deadline) override { return waiting_.wait_until_idle(deadline); }
  void close(bool cancel_pending, bool at_once) override;
  PoolStats stats() override;
  std::vector<pid_t> worker_pids() override;
  std::unique_ptr<MapWindow> open_map(EntryRef entry, const TaskOptions& options, Order order) override;
  unsigned workers() const noexcept override { return plan_.memory.workers; }
  bool made_elsewhere() const noexcept override { return owner_.made_elsewhere(); }
  std::string closed_why() const;
  /// The process it belongs to.
  const OwnerProcess& owner() const noexcept { return owner_; }
  /// Waits for its tasks.
  Waiting& waiting() noexcept { return waiting_; }

  // For maps ---------------------------------------------------------------------------------------
  struct Staged {
    TaskState* task;
    const std::byte* small;  ///< arguments of up to Slot::kInlineBytes; larger ones are in the task's payload
    std::uint64_t size;
  };
  /// Submits several at once, which stay their map's: they live until `abandon`. Throws PoolClosed and takes none.
  /// If it throws bad_alloc, the first `taken` tasks were submitted.
  void submit_all(std::span<const Staged> tasks, std::size_t& taken);
  /// Reads finished slots. True if no task was left that a free worker could claim.
  bool collect();
  /// Takes all of `list`, oldest first, linked by `next`; null if it is empty.
  TaskState* take_finished(FinishedList& list);
  /// Releases a map's tasks: cancels what has not started, forgets where the others shall be listed. `kept`, if it is
  /// not null, is released once these have ended.
  void abandon(std::span<TaskState* const> tasks, const std::shared_ptr<const void>& kept, bool at_once) noexcept;

  Region& region() const noexcept { return *plan_.region; }
  OwnerDoorbell& doorbell() const noexcept { return *plan_.owner_doorbell; }

 private:
  using Hold = PoolLock::Hold;

  ~PoolCore() override;
  void destroy() noexcept override;

  Deadline do_chores() noexcept;
  Deadline trim_idle_memory() noexcept;
  void wait_for_held_back(std::unique_lock<std::mutex>& lock);
  void end_what_is_open() noexcept;
  void end_processes() noexcept;

  const OwnerProcess owner_;
  PoolPlan plan_;  // constant once the fork server was forked
  ControlMemory control_;
  PoolCore* left_alone_ = nullptr;

  // From those that know little to those that stand on them. Guarded by lock_, as each says.
  Lifecycle lifecycle_;
  OpenTasks open_;
  KnownWorkers workers_;
  Liveness deaths_;  // of its workers; subscribers are notified in the order in which they stand here
  TaskRing ring_;
  mutable PoolLock lock_;
  Cancellation cancellation_;
  TimeoutWatch timeouts_;
  Reclaim reclaim_;
  DeathReports death_reports_;
  Supervisor supervisor_;
  SlotInspection slot_inspection_;
  Inspection inspection_;
  ForkServerHandle server_;
  ServiceThread service_;
  Waiting waiting_;
  // Of the region, that this pool's workers know of; guarded by lock_.
  std::uint64_t idle_periods_ = 0, recalls_ = 0;
};

}  // namespace retinue::detail
