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

detail::ProcessBackend& ProcessPool::core() const {
  if (core_.get() == nullptr)
    throw Error(
        "this ProcessPool is empty: it was moved from, or this is one of its own workers, forked while it was made");
  return *core_;
}

detail::ProcessBackend& ProcessPool::core_for_tasks() const {
  detail::ProcessBackend& of_tasks = core();
  of_tasks.refuse_another_copy();
  return of_tasks;
}

unsigned ProcessPool::workers() const noexcept { return core_.get() != nullptr ? core_->workers() : 0; }
std::vector<pid_t> ProcessPool::worker_pids() const { return core().worker_pids(); }
PoolStats ProcessPool::stats() const { return core().stats(); }
void ProcessPool::shutdown(bool cancel_pending) { core().shutdown(cancel_pending); }
void ProcessPool::terminate() { core().terminate(); }

namespace detail {

BackendStats ProcessBackend::statistics() {
  const PoolStats now = stats();
  return {now.finished, now.cancelled, now.waiting, now.workers};
}

Ref<EncodedCompletion> ProcessBackend::submit_function(std::function<void()>, const TaskOptions&) {
  throw Error("a function that does not travel cannot run in a worker process: submit an entry with arguments");
}

Ref<ProcessBackend> make_process_backend(const ProcessPoolOptions& options, const ProcessHooks& hooks,
                                         const FreshProgram* program) {
  return Ref<ProcessBackend>(new PoolCore(options, hooks, program));
}

}  // namespace detail
}  // namespace retinue
