// How tasks come to a pool, and what is asked of single ones.
#include <utility>

#include <retinue/detail/tasks/owner_doorbell.hpp>

#include "pool_core.hpp"

namespace retinue::detail {
namespace {

inline Ref<TaskState> new_task(PoolCore& core, EntryRef entry, StagedPayload& arguments, const TaskOptions& options,
                               std::uint32_t references) {
  core.add_ref();
  CoreRef pool(&core);  // before the allocation, which may fail
  Ref<TaskState> task(new TaskState(std::move(pool), entry, options, references));
  if (arguments.block() != 0) {
    task->payload.take_owner_block(core.region(), arguments.block(), arguments.size());
    arguments.release_block();
  } else if (task->retries != 0) {
    task->payload.copy(arguments.small(), arguments.size());
  }
  return task;
}

}  // namespace

Ref<EncodedCompletion> PoolCore::submit(EntryRef entry, StagedPayload& arguments, const TaskOptions& options) {
  owner_.refuse_if_made_elsewhere();
  Ref<TaskState> task = new_task(*this, entry, arguments, options, 2);
  Ref<TaskState> for_pool(task.get());
  {
    const Hold hold(lock_);
    lifecycle_.require_open();
    task->index = open_.counts().submitted;
    ring_.enqueue(*task, arguments.small(), arguments.size());
    (void)for_pool.release();
  }
  return task;
}

void PoolCore::submit_many(std::span<const EncodedCall> calls, const TaskOptions& options,
                           std::vector<Ref<EncodedCompletion>>& submitted) {
  owner_.refuse_if_made_elsewhere();
  std::vector<Ref<TaskState>> tasks;
  tasks.reserve(calls.size());
  for (const EncodedCall& each : calls) tasks.push_back(new_task(*this, each.entry, *each.arguments, options, 1));
  submitted.reserve(submitted.size() + calls.size());
  const Hold hold(lock_);
  lifecycle_.require_open();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Ref<TaskState> for_pool = tasks[i];
    tasks[i]->index = open_.counts().submitted;
    ring_.enqueue(*tasks[i], calls[i].arguments->small(), calls[i].arguments->size());
    (void)for_pool.release();
    submitted.emplace_back(std::move(tasks[i]));
  }
}

void PoolCore::submit_all(std::span<const Staged> tasks, std::size_t& taken) {
  taken = 0;
  owner_.refuse_if_made_elsewhere();
  const Hold hold(lock_);
  lifecycle_.require_open();
  for (const Staged& staged : tasks) {
    ring_.enqueue(*staged.task, staged.small, staged.size);
    ++taken;
  }
}

bool PoolCore::collect() {
  owner_.refuse_if_made_elsewhere();
  const Hold hold(lock_);
  return !ring_.collect();
}

TaskState* PoolCore::take_finished(FinishedList& list) {
  owner_.refuse_if_made_elsewhere();
  const Hold hold(lock_);
  return list.take();
}

void PoolCore::abandon(std::span<TaskState* const> tasks, const std::shared_ptr<const void>& kept,
                       bool at_once) noexcept {
  if (owner_.made_elsewhere()) return;
  {
    const Hold hold(lock_);
    cancellation_.abandon(tasks, kept, at_once);
  }
  // Whoever waits for tasks behind these, or for all to end, must look again.
  plan_.owner_doorbell->ring();
}

bool PoolCore::cancel(TaskState& task, bool force) {
  if (waiting_.end_if_made_elsewhere(task)) return false;
  auto answer = Cancellation::Answer::no;
  {
    const Hold hold(lock_);
    answer = cancellation_.cancel(task, force);
  }
  if (answer == Cancellation::Answer::cancelled_now) plan_.owner_doorbell->ring();
  return answer != Cancellation::Answer::no;
}

void PoolCore::on_done(TaskState& task, std::function<void()> callback) {
  if (!task.ended() && !waiting_.end_if_made_elsewhere(task)) {
    const Hold hold(lock_);
    if (!ring_.collect_if_done(task)) {
      task.callbacks.push_back(std::move(callback));
      if (!ring_.request_ring(task, SlotState::kRingService)) plan_.ring_service();
      return;
    }
  }
  try {
    callback();
  } catch (...) {
    // Promised: what a callback throws is dropped.
  }
}

SharedMemory PoolCore::take_result(TaskState& task) {
  if (task.ending.load(std::memory_order_acquire) != Ending::value) std::rethrow_exception(task.error());
  owner_.refuse_if_made_elsewhere();  // the block is the parent's, who may free it at any time
  const std::lock_guard lock(lock_.mutex());
  if (task.taken) throw Error("the value of this task was taken by an earlier look at it: it is not copied");
  const SharedMemory memory = task.payload.release_result_block();
  task.taken = memory.data != nullptr;
  return memory;
}

}  // namespace retinue::detail
