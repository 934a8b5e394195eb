// What runs tasks, whichever executor it belongs to.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <sys/types.h>
#include <vector>

#include <retinue/detail/codec/checks.hpp>
#include <retinue/detail/codec/entry.hpp>
#include <retinue/detail/tasks/completion.hpp>
#include <retinue/detail/tasks/staged_payload.hpp>
#include <retinue/task_options.hpp>

namespace retinue::detail {

/// One task of a batch.
struct EncodedCall {
  EntryRef entry;
  StagedPayload* arguments;  ///< taken over when the task is submitted
};

/// What every kind of backend can count of itself.
struct BackendStats {
  std::uint64_t finished = 0;   ///< tasks ended, in whichever way, since it was made
  std::uint64_t cancelled = 0;  ///< of these: cancelled before they started, or stopped
  std::uint64_t waiting = 0;    ///< tasks that now wait for a worker
  unsigned workers = 0;         ///< tasks that may run at once
};

/// A worker process that has ended.
struct WorkerDeath {
  pid_t pid = 0;
  int signal = 0;      ///< that ended it, or 0
  int exit_code = -1;  ///< or -1 if a signal has ended it
};

/// As long as it is kept, its function is called. Releasing it waits for a call in another thread, so do not hold then
/// what the function may wait for; in the function itself it may be released, and the function lives until it returns.
using Subscription = std::shared_ptr<const void>;

/// The interface that every executor implements underneath, and that schedulers hold where they do not care which one it
/// is. A task is always the same thing: an entry with encoded arguments. Backends in this process run it as well, and also
/// take functions that cannot travel.
///
/// Thread-safe. Counted: whoever holds a Ref keeps its memory, not its workers, which end with the executor; then `submit`
/// throws PoolClosed. In a forked child every backend with workers of its own is closed.
class Backend {
 public:
  Backend() noexcept;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  void add_ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy();
  }

  /// Throws Error if another copy of this library has made it, which names functions by another table. Whoever is given a backend asks
  /// before it submits. Not virtual, for the caller's copy must look.
  void refuse_another_copy() const;

  virtual unsigned workers() const noexcept = 0;
  /// What payloads submitted here may name: whoever encodes arguments asks first.
  virtual Reach reach() const noexcept { return Reach::same_region; }

  /// Submits one task, which takes the arguments over. Never blocks. Throws PoolClosed, ResourceExhausted, bad_alloc, and
  /// then has submitted nothing, though the arguments may be gone.
  virtual Ref<EncodedCompletion> submit(EntryRef entry, StagedPayload& arguments, const TaskOptions& options) = 0;

  /// Submits several at once, appended to `submitted` in their order. If it throws, those that are there by then were
  /// submitted, and no others.
  virtual void submit_many(std::span<const EncodedCall> calls, const TaskOptions& options,
                           std::vector<Ref<EncodedCompletion>>& submitted) = 0;

  /// True if tasks run in this process, so that `submit_function` can be used.
  virtual bool is_local() const noexcept = 0;
  /// Runs a function that need not travel. Its value is no bytes: `value_bytes` throws what it threw. Throws as `submit`
  /// does, and Error where tasks run in other processes.
  virtual Ref<EncodedCompletion> submit_function(std::function<void()> function, const TaskOptions& options) = 0;

  /// Cancels tasks of this or any other backend: `force` also stops those that run in worker processes. Gives how many end
  /// as cancelled. Empty entries (nullptr) are passed over.
  static std::size_t cancel(std::span<Completion* const> tasks, bool force) {
    std::size_t count = 0;
    for (Completion* const task : tasks)
      if (task != nullptr && task->cancel(force)) ++count;
    return count;
  }

  virtual BackendStats statistics() = 0;

  /// Calls `on_death` for each worker process that dies or is killed while its executor is open (not for one that has done its
  /// share and leaves): in a thread of the executor's, without locks, in the order of the deaths, and before callbacks of the
  /// tasks that died with it. A subscription made in such a call begins with the next death. After bad_alloc it is called again a
  /// little later, and those behind it wait; what else it throws is dropped. Never called where there are no worker processes.
  /// Throws bad_alloc, and PoolClosed in a forked child.
  [[nodiscard]] virtual Subscription subscribe(std::function<void(const WorkerDeath&)> on_death) = 0;

 protected:
  virtual ~Backend() = default;
  virtual void destroy() noexcept { delete this; }

 private:
  std::atomic<std::uint32_t> refs_{1};
  const std::uint64_t generation_;  // of the process and the copy of this library that made it
};

}  // namespace retinue::detail
