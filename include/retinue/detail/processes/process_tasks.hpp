// The type-erased door to a process pool: bytes in, bytes out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <sys/types.h>
#include <vector>

#include <retinue/detail/codec/entry.hpp>
#include <retinue/detail/tasks/backend.hpp>
#include <retinue/detail/tasks/completion.hpp>
#include <retinue/detail/processes/process_hooks.hpp>
#include <retinue/detail/tasks/order.hpp>
#include <retinue/detail/tasks/staged_payload.hpp>
#include <retinue/task_options.hpp>

namespace retinue {
struct ProcessPoolOptions;
struct PoolStats;
}  // namespace retinue

namespace retinue::detail {

class PoolCore;
class TaskState;
struct SharedMemory;

/// The owner's side of a pool, counted; see src/processes/pool_core.hpp.
void add_ref(PoolCore& core) noexcept;
void release(PoolCore& core) noexcept;

/// A counted pointer to a PoolCore, whose definition the public headers do not need.
class CoreRef {
 public:
  CoreRef() = default;
  explicit CoreRef(PoolCore* owned) noexcept : core_(owned) {}
  CoreRef(const CoreRef& o) noexcept : core_(o.core_) {
    if (core_ != nullptr) add_ref(*core_);
  }
  CoreRef(CoreRef&& o) noexcept : core_(std::exchange(o.core_, nullptr)) {}
  CoreRef& operator=(CoreRef o) noexcept {
    std::swap(core_, o.core_);
    return *this;
  }
  ~CoreRef() {
    if (core_ != nullptr) release(*core_);
  }
  PoolCore& operator*() const noexcept { return *core_; }
  PoolCore* operator->() const noexcept { return core_; }
  PoolCore* get() const noexcept { return core_; }

 private:
  PoolCore* core_ = nullptr;
};

/// Hands one task to the pool. Throws PoolClosed, ResourceExhausted, bad_alloc.
Ref<EncodedCompletion> submit_to(PoolCore& core, EntryRef entry, StagedPayload& arguments, const TaskOptions& options);

/// A pool without the templates: bytes in, bytes out. The caller shuts it down before it lets go of it.
/// With a `program` its processes start anew.
CoreRef make_core(const ProcessPoolOptions& options, const ProcessHooks& hooks, const FreshProgram* program = nullptr);
/// Waits until every submitted task has ended, or the deadline; true if they have. For callers whose waits
/// must be interruptible, before `shut_down`, which is not.
bool wait_until_idle(PoolCore& core, const Deadline& deadline);
void shut_down(PoolCore& core, bool cancel_pending);
void terminate(PoolCore& core);
PoolStats stats_of(PoolCore& core);
std::vector<pid_t> worker_pids_of(PoolCore& core);
unsigned workers_of(PoolCore& core) noexcept;
Ref<Backend> backend_of(PoolCore& core) noexcept;
/// True in a child forked from the pool's owner.
bool is_foreign(PoolCore& core) noexcept;
/// Throws PoolClosed if the pool takes no tasks (any more, or in this process).
void require_open(PoolCore& core);

/// Shared memory that several tasks may be given.
using KeptMemory = std::vector<std::shared_ptr<const SharedMemory>>;

/// The tasks of one map that are under way, and the results not yet taken. Used by one thread at a
/// time. Its destructor takes back what has not started.
class MapWindow {
 public:
  MapWindow(CoreRef core, EntryRef entry, const TaskOptions& options, Order order);
  ~MapWindow();
  MapWindow(const MapWindow&) = delete;
  MapWindow& operator=(const MapWindow&) = delete;

  /// How many more inputs should be read now; 0 until a worthwhile batch fits. Throws PoolClosed in a
  /// forked child.
  std::size_t wanted() const;
  /// Room for the next task's arguments. Throws ResourceExhausted or bad_alloc, and then no task is staged.
  std::byte* stage(std::size_t bytes);
  /// What the last stage() names, kept until its task has ended; `bytes` of it are new.
  void keep_for_last(KeptMemory kept, std::size_t bytes);
  /// No inputs are to be read until a result was given: there is no memory for them.
  void hold_back() noexcept;
  bool is_empty() const noexcept;
  /// How many tasks are staged, under way, or ended and not given yet.
  std::size_t outstanding() const noexcept;
  /// How many that may become; it grows while tasks are short.
  std::size_t look_ahead() const noexcept;
  /// Whether there are no inputs to be read now though more may come: then `next` does not ask for them.
  void inputs_wait(bool wait) noexcept;
  /// True if `next` would give a result without waiting, so far as is known.
  bool has_result();
  /// How many tasks have not ended.
  std::size_t unfinished();
  /// True if what is under way is so large that no more should be read, whatever `wanted` said.
  bool is_heavy() const noexcept;
  /// Takes back the last stage(), whose arguments could not be written.
  void unstage() noexcept;
  /// Hands what is staged to the pool. Throws PoolClosed.
  void publish();

  struct Result {
    std::uint64_t index = 0;
    std::span<const std::byte> value;  ///< good until the next call
    std::exception_ptr error;          ///< set instead if the task failed
  };
  enum class Next {
    result,
    starved,  ///< inputs should be read while others run: `wanted()` became more, or `nudge` was called
    over,     ///< nothing is under way
    timed_out,
  };
  /// Waits for the next result, until the deadline at the longest; one in the past only looks.
  Next next(Result& result, const Deadline& deadline = std::nullopt);
  /// Has a `next` or `wait_for_nudge` that waits return, or else the next one that would wait. Any thread may call it.
  void nudge() noexcept;
  /// False if the deadline passed first. For when there is nothing under way to wait for.
  bool wait_for_nudge(const Deadline& deadline);
  /// Takes the block of the result given last, if it has one, so that `value` lives on; see EncodedCompletion::take_block.
  SharedMemory take() noexcept;
  /// No more inputs will come.
  void inputs_ended() noexcept;
  /// The destructor shall also stop what runs then: its workers are killed and replaced.
  void end_at_once() noexcept;
  /// What tasks that outlive this object need; let go of in any thread, when they have ended.
  void keep(std::shared_ptr<const void> kept) noexcept;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace retinue::detail
