// What is asked of a task, which asks its pool.
#include <chrono>
#include <cstdio>
#include <string>

#include <retinue/error.hpp>

#include "codec/exceptions.hpp"
#include "loading_limit.hpp"
#include "pool_core.hpp"

namespace retinue::detail {
namespace {
std::string seconds_text(std::chrono::nanoseconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g s", std::chrono::duration<double>(time).count());
  return text;
}
}  // namespace

TaskState::~TaskState() {
  if (core->owner().made_elsewhere()) payload.forget();
}

bool TaskState::cancelled() noexcept {
  if (!ended() && done()) progress();  // ended in its slot, but not read yet
  return ending.load(std::memory_order_acquire) == Ending::cancelled;
}

bool TaskState::done() noexcept { return core->waiting().done(*this); }
bool TaskState::wait(const Deadline& deadline) { return core->waiting().wait(*this, deadline); }
bool TaskState::cancel(bool force) { return core->cancel(*this, force); }
void TaskState::on_done(std::function<void()> callback) { core->on_done(*this, std::move(callback)); }
bool TaskState::running() noexcept { return core->waiting().is_running(*this); }
SharedMemory TaskState::take_block() { return core->take_result(*this); }
const OwnerDoorbell& TaskState::doorbell() const { return core->doorbell(); }
bool TaskState::arm() { return core->waiting().arm(*this); }
void TaskState::progress() noexcept {
  try {
    core->waiting().progress();
  } catch (const std::bad_alloc&) {
    // The results stay in their slots until there is memory for them.
  }
}

std::exception_ptr TaskState::error() const {
  const std::string task = "task " + std::to_string(index);
  const auto killed = [this] {
    return "; its worker (pid " + std::to_string(worker_pid) + ") was killed and replaced";
  };
  switch (ending.load(std::memory_order_acquire)) {
    case Ending::exception: {
      if (payload.lies_in_result_block() && core->owner().made_elsewhere())
        return std::make_exception_ptr(
            PoolClosed(task + " ended with an exception that only its pool's process can read"));
      const auto bytes = payload.bytes();
      if (bytes.empty())
        return std::make_exception_ptr(ResourceExhausted(
            task + ": its worker (pid " + std::to_string(worker_pid) + ") had no memory left to report an exception",
            0));
      return decode_exception({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, worker_pid, index);
    }
    case Ending::died: {
      if (death == nullptr) return std::make_exception_ptr(WorkerDied(0, -1, worker_pid, index, {}));
      std::string stack = describe_overflow(death->stack) + death->note + describe_stack(death->stack, death->pid);
      while (!stack.empty() && stack.back() == '\n') stack.pop_back();
      return std::make_exception_ptr(WorkerDied(death->signal, death->exit_code, death->pid, index, std::move(stack)));
    }
    case Ending::timed_out:
      if (timeout.count() < 0)
        return std::make_exception_ptr(
            TaskTimeout(task + " was not run: its timeout of " + seconds_text(timeout) + " had passed"));
      return std::make_exception_ptr(
          TaskTimeout(task + " ran longer than its timeout of " + seconds_text(timeout) + killed()));
    case Ending::timed_out_loading:
      return std::make_exception_ptr(
          TaskTimeout(task + " ran longer than " + seconds_text(loading_limit(timeout)) +
                      " while loading its function and arguments, before its own timeout of " + seconds_text(timeout) +
                      " began to count" + killed()));
    case Ending::cancelled: return std::make_exception_ptr(Cancelled(task + " was cancelled"));
    case Ending::overwritten:
      return std::make_exception_ptr(MemoryOverwritten(
          task +
          ": its record in shared memory was overwritten by a stray write of some task, and it may have run; "
          "find the task that writes out of bounds, or give TaskOptions::retries to run this one again"));
    case Ending::closed: return std::make_exception_ptr(PoolClosed(task + ": " + core->closed_why()));
    default: return std::make_exception_ptr(Error(task + " has not ended"));
  }
}

std::span<const std::byte> TaskState::value_bytes() {
  if (ending.load(std::memory_order_acquire) == Ending::value) {
    order_after(&ending);
    if (payload.lies_in_result_block())
      core->owner().refuse_if_made_elsewhere();  // there the parent may free it at any time
    return payload.bytes();
  }
  std::rethrow_exception(error());
}

}  // namespace retinue::detail
