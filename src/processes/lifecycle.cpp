#include "lifecycle.hpp"

#include <new>
#include <utility>

#include <retinue/error.hpp>

namespace retinue::detail {

void Lifecycle::require_open() const {
  if (stage_ != Stage::open || closed_) throw PoolClosed(closed_ ? closed_why_ : "the pool was shut down");
}

void Lifecycle::break_pool(const std::string& why) noexcept {
  if (closed_) return;
  closed_ = true;
  try {
    closed_why_ = why;
  } catch (const std::bad_alloc&) {
    closed_why_.clear();
  }
  on_break_();
}

void Lifecycle::terminate(Clock::time_point deadline) noexcept {
  if (!std::exchange(terminating_, true)) terminate_deadline_ = deadline;
}

bool Lifecycle::begin_end() noexcept {
  if (stage_ != Stage::open) return false;
  stage_ = Stage::draining;
  return true;
}

void Lifecycle::wait_for_end(std::unique_lock<std::mutex>& lock) {
  stage_changed_.wait(lock, [this] { return stage_ == Stage::ended; });
}

void Lifecycle::note_end() {
  if (!closed_) closed_why_ = "the pool was shut down";
  closed_ = true;
  stage_ = Stage::ended;
  stage_changed_.notify_all();
}

void Lifecycle::announce_closing() noexcept {
  closing_announced_.store(true, std::memory_order_release);
  plan_.memory.control->closing.store(kClosing, std::memory_order_seq_cst);
}

}  // namespace retinue::detail
