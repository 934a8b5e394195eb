// What a pool of processes can do, without the templates: bytes in, bytes out.
#pragma once

#include <memory>
#include <sys/types.h>
#include <vector>

#include <retinue/detail/processes/map_window.hpp>
#include <retinue/detail/processes/process_hooks.hpp>
#include <retinue/detail/tasks/backend.hpp>
#include <retinue/detail/tasks/order.hpp>

namespace retinue {
struct ProcessPoolOptions;
struct PoolStats;
}  // namespace retinue

namespace retinue::detail {

/// The backend of a process pool. Whoever made it shuts it down before releasing it.
class ProcessBackend : public Backend {
 public:
  /// Opens a map; see MapWindow.
  virtual std::unique_ptr<MapWindow> open_map(EntryRef entry, const TaskOptions& options, Order order) = 0;
  /// Waits until no task is unfinished; false if the deadline passed first. For callers whose waits must be
  /// interruptible, before `shutdown`, which is not.
  virtual bool wait_until_idle(const Deadline& deadline) = 0;
  /// Ends the pool as ProcessPool's `shutdown` does, or, `at_once`, as its `terminate`.
  virtual void close(bool cancel_pending, bool at_once) = 0;
  void shutdown(bool cancel_pending) { close(cancel_pending, false); }
  void terminate() { close(true, true); }
  /// As ProcessPool's.
  virtual PoolStats stats() = 0;
  virtual std::vector<pid_t> worker_pids() = 0;
  /// True in a child forked from the owner, where this pool is a memory of the parent's, and for another copy of this
  /// library in the owner's program.
  virtual bool made_elsewhere() const noexcept = 0;
  /// Throws PoolClosed if the pool takes no tasks (any more, or in this process).
  virtual void check_open() = 0;

  BackendStats statistics() final;
  bool is_local() const noexcept final { return false; }
  Reach reach() const noexcept final { return Reach::same_region; }
  Ref<EncodedCompletion> submit_function(std::function<void()> function, const TaskOptions& options) final;

 protected:
  ~ProcessBackend() override = default;
};

/// Makes a pool. With a `program` its processes start anew. Throws as ProcessPool's constructor.
Ref<ProcessBackend> make_process_backend(const ProcessPoolOptions& options, const ProcessHooks& hooks,
                                         const FreshProgram* program = nullptr);

}  // namespace retinue::detail
