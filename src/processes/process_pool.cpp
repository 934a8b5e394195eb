#include <retinue/process_pool.hpp>

#include "pool_core.hpp"

namespace retinue {
namespace {
constexpr detail::ProcessHooks kNoHooks;
}

ProcessPool::ProcessPool(const ProcessPoolOptions& options) : core_(new detail::PoolCore(options, kNoHooks)) {}

ProcessPool::~ProcessPool() {
  if (core_.get() != nullptr) core_->shutdown(false);
}

detail::PoolCore& ProcessPool::core() const {
  if (core_.get() == nullptr)
    throw Error(
        "this ProcessPool is empty: it was moved from, or this is one of its own workers, forked while it was made");
  return *core_;
}

unsigned ProcessPool::workers() const noexcept { return core_.get() != nullptr ? core_->workers() : 0; }
std::vector<pid_t> ProcessPool::worker_pids() const { return core().worker_pids(); }
PoolStats ProcessPool::stats() const { return core().stats(); }
void ProcessPool::shutdown(bool cancel_pending) { core().shutdown(cancel_pending); }
void ProcessPool::terminate() { core().terminate(); }

namespace detail {

CoreRef make_core(const ProcessPoolOptions& options, const ProcessHooks& hooks, const FreshProgram* program) {
  return CoreRef(new PoolCore(options, hooks, program));
}
bool wait_until_idle(PoolCore& core, const Deadline& deadline) { return core.wait_until_idle(deadline); }
void shut_down(PoolCore& core, bool cancel_pending) { core.shutdown(cancel_pending); }
void terminate(PoolCore& core) { core.terminate(); }
PoolStats stats_of(PoolCore& core) { return core.stats(); }
std::vector<pid_t> worker_pids_of(PoolCore& core) { return core.worker_pids(); }
unsigned workers_of(PoolCore& core) noexcept { return core.workers(); }
Ref<Backend> backend_of(PoolCore& core) noexcept {
  core.add_ref();
  return Ref<Backend>(&core);
}
bool is_foreign(PoolCore& core) noexcept { return core.foreign(); }
void require_open(PoolCore& core) { core.check_open(); }

Ref<EncodedCompletion> submit_to(PoolCore& core, EntryRef entry, StagedPayload& arguments, const TaskOptions& options) {
  return core.submit(entry, arguments, options);
}

}  // namespace detail
}  // namespace retinue
