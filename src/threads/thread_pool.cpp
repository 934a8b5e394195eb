#include <retinue/thread_pool.hpp>

#include <utility>

namespace retinue {

ThreadPool::ThreadPool(const ThreadPoolOptions& options) : core_(detail::make_thread_core(options)) {}

ThreadPool::~ThreadPool() {
  if (!core_) return;
  if (detail::is_made_elsewhere(*core_)) {
    // A copy in a forked child, whose threads and perhaps locks are the parent's: leave it as it is.
    [[maybe_unused]] auto* const left = new (std::nothrow) auto(std::move(core_));
    return;
  }
  detail::shut_down(*core_, false);
}

detail::ThreadCore& ThreadPool::core() const {
  if (!core_) throw Error("this ThreadPool was moved from");
  return *core_;
}

}  // namespace retinue
