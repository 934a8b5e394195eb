// Everything here runs in the owner.
#include "task_ring.hpp"

#include <cstring>
#include <new>
#include <utility>

#include <retinue/error.hpp>

#include "codec/exceptions.hpp"
#include "system/pause.hpp"
#include "slot_checks.hpp"

namespace retinue::detail {
namespace {

constexpr std::uint64_t kFetchAhead = 8;

}  // namespace

TaskRing::TaskRing(const PoolPlan& plan, const KnownWorkers& workers, OpenTasks& open)
    : plan_(plan), workers_(workers), open_(open), owners_(plan.memory.slot_mask + 1) {
  skipped_slots_.reserve(workers.size() + 16);
}

void TaskRing::enqueue(TaskState& task, const std::byte* small, std::uint64_t size) {
  if (task.timeout.count() < 0) [[unlikely]]
    return end_unrun(task);
  Slot* slot = backlog_.empty() || refill() ? free_slot() : nullptr;  // Model: enqueue
  if (slot != nullptr) {
    publish(*slot, task, small, size);
  } else {
    if (task.payload.empty()) task.payload.copy(small, size);
    backlog_.push_back(&task);
    ask_for_refill();
  }
  open_.note_submitted(task);
}

// Its deadline has passed before it was submitted.
inline void TaskRing::end_unrun(TaskState& task) noexcept {
  open_.note_submitted(task);
  open_.end(task, Ending::timed_out);
  release(task);
}

// The slot of the next position, if it is free or can be made so. Positions whose slot a worker is busy
// in are passed over: the tail goes on without them.
inline Slot* TaskRing::free_slot() {
  for (std::uint64_t n = 0; n <= plan_.memory.slot_mask; ++n, ++tail_) {  // Model: pass_over
    Slot& slot = plan_.memory.slot(tail_);
    TaskState* task = owners_[tail_ & plan_.memory.slot_mask];
    if (task == nullptr) return &slot;
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (SlotState::tag(state) == Tag::ready) return nullptr;  // the ring is full
    if (is_done(state, *task)) {
      collect_slot(slot, *task, state);
      return &slot;
    }
  }
  return nullptr;
}

inline void TaskRing::publish(Slot& slot, TaskState& task, const std::byte* small, std::uint64_t size) {
  slot.entry = task.entry;
  slot.block = task.payload.owner_block();
  if (slot.block == 0 && size != 0) std::memcpy(slot.payload, small, size);
  slot.describe(size, task.timeout.count() > 0 ? Slot::kTimed : 0, ResultKind::value);
  owners_[tail_ & plan_.memory.slot_mask] = &task;
  task.position.store(tail_, std::memory_order_release);
  // Model: publish
  slot.state.store(SlotState::ready(tail_ & SlotState::kPositionMask, task.rings), std::memory_order_release);
  task.rings = 0;
  // Of a batch, a spinner may have claimed the first task before the second is there.
  published_ = published_ == Published::nothing && in_slots_ == 0 ? Published::first : Published::some;
  ++tail_;
  ++in_slots_;
}

// Moves waiting tasks into free slots; true if none waits any more.
bool TaskRing::refill() {
  while (!backlog_.empty()) {  // Model: refill
    TaskState& task = *backlog_.front();
    if (!task.ended()) {
      Slot* slot = free_slot();
      if (slot == nullptr) return false;
      const auto bytes = task.payload.bytes();
      publish(*slot, task, bytes.data(), bytes.size());
      if (slot->block == 0 && task.retries == 0) task.payload.clear();
      backlog_.pop_front();
    } else {
      backlog_.pop_front();
      release(task);
    }
  }
  return true;
}

// Has the service thread rung when about half of what is in slots is done, so that waiting tasks find
// room even if no thread of the owner's looks. One request would not do, for that task may be a slow one:
// of one more than there are workers, at least one ends as long as any worker goes on. If there are fewer because
// some ended meanwhile, there is room already.
void TaskRing::ask_for_refill() {
  if (refill_asked_) return;
  refill_asked_ = true;  // Model: ask_for_refill
  unsigned requested = 0;
  bool room = false;
  const auto try_request = [&](std::uint64_t position) {
    if (TaskState* task = task_at(position)) {
      if (request_ring(*task, SlotState::kRingService)) ++requested;
      else room = true;
    }
    return requested > workers_.size();
  };
  const std::uint64_t half = oldest_ + (tail_ - oldest_) / 2;
  for (std::uint64_t position = half; position < tail_; ++position)
    if (try_request(position)) return;
  for (std::uint64_t position = half; position > oldest_; --position)
    if (try_request(position - 1)) return;
  for (const SkippedSlot& skipped : skipped_slots_)
    if (try_request(skipped.position)) return;
  if (requested == 0 || room) plan_.ring_service();
}

void TaskRing::collect_slot(Slot& slot, TaskState& task, std::uint64_t state) {  // Model: collect_result
  const unsigned worker = SlotState::worker(state) < workers_.size() ? SlotState::worker(state) : 0;
  const std::uint64_t size = slot.size(), block = slot.block;
  Ending ending = slot.kind() == static_cast<std::uint8_t>(ResultKind::value) ? Ending::value : Ending::exception;
  task.worker_pid = workers_.pid_of(worker);
  try {
    if (block != 0) {
      if (workers_[worker].arena == nullptr)
        throw CodecError("a slot names a worker that is gone (a worker may have overwritten its memory)");
      task.payload.adopt(*plan_.region, workers_[worker].arena, block, size);
    } else {
      if (size > Slot::kInlineBytes)
        throw CodecError("a worker left a result of impossible size (it may have overwritten its memory)");
      task.payload.copy(slot.payload, size);
    }
  } catch (const CodecError&) {
    const std::string bytes = encode_exception(std::current_exception());
    task.payload.copy(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size());
    ending = Ending::exception;
  }
  if (task.wanted_ending != Ending::pending) ending = task.wanted_ending;  // it ended while being stopped
  end_slot(slot, task, ending);
}

bool TaskRing::collect_if_done(TaskState& task) {
  if (task.ended()) return true;
  if (task.position.load(std::memory_order_relaxed) == TaskState::kNowhere) return false;
  Slot& slot = slot_of(plan_.memory, task);
  const std::uint64_t state = slot.state.load(std::memory_order_acquire);
  if (!is_done(state, task)) return false;
  collect_slot(slot, task, state);
  return true;
}

void TaskRing::run_again(Slot& slot, TaskState& task) {
  backlog_.push_front(&task);
  --task.retries;
  open_.note_retried();
  owners_[static_cast<std::size_t>(&slot - plan_.memory.slots)] = nullptr;
  --in_slots_;
  task.position.store(TaskState::kNowhere, std::memory_order_relaxed);
  task.rings = static_cast<std::uint8_t>(SlotState::kRings);  // one too many does no harm, one too few would
}

bool TaskRing::collect() {  // Model: pump
  for (std::size_t i = 0; i < skipped_slots_.size();) {
    const SkippedSlot skipped = skipped_slots_[i];
    TaskState* task = owners_[skipped.slot];
    if (task != nullptr && task->position.load(std::memory_order_relaxed) == skipped.position &&
        !collect_if_done(*task)) {
      ++i;
    } else {
      skipped_slots_[i] = skipped_slots_.back();
      skipped_slots_.pop_back();
    }
  }
  for (; oldest_ < tail_; ++oldest_) {
    const auto index = static_cast<std::uint32_t>(oldest_ & plan_.memory.slot_mask);
    TaskState* task = owners_[index];
    if (task == nullptr || task->position.load(std::memory_order_relaxed) != oldest_) continue;
    Slot& slot = plan_.memory.slots[index];
    prefetch_to_write(&plan_.memory.slot(oldest_ + kFetchAhead));
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (SlotState::tag(state) == Tag::ready) break;
    if (is_done(state, *task)) collect_slot(slot, *task, state);
    else skipped_slots_.push_back({oldest_, index});
  }
  if (!backlog_.empty()) refill();
  return oldest_ < tail_ || !backlog_.empty();
}

bool TaskRing::request_ring(TaskState& task, std::uint64_t ring) {
  if (task.ended()) return false;
  if (task.position.load(std::memory_order_relaxed) == TaskState::kNowhere) {
    task.rings |= static_cast<std::uint8_t>(ring);
    return true;
  }
  auto& word = slot_of(plan_.memory, task).state;
  std::uint64_t state = word.load(std::memory_order_acquire);
  do {
    if (is_done(state, task)) return false;
    // Overwritten by a stray write: the task ends when that worker finishes it or dies.
    if (!is_consistent(plan_.memory, state, task.position.load(std::memory_order_relaxed))) return true;
  } while (!word.compare_exchange_weak(state, state | ring, std::memory_order_acq_rel));  // Model: request_ring
  return true;
}

bool TaskRing::request_ring_of_next() {
  for (const SkippedSlot& skipped : skipped_slots_)
    if (TaskState* task = owners_[skipped.slot]; task != nullptr && !request_ring(*task, SlotState::kRingOwner))
      return false;
  unsigned requested = 0;
  for (std::uint64_t position = oldest_; position < tail_ && requested <= workers_.size(); ++position) {
    TaskState* task = task_at(position);
    if (task == nullptr) continue;
    if (!request_ring(*task, SlotState::kRingOwner)) return false;
    ++requested;
  }
  return true;
}

// A slot went from ready to free. If its end was to bring waiting tasks into slots, something else must.
bool TaskRing::take_unclaimed(Slot& slot, TaskState& task) {
  std::uint64_t state = slot.state.load(std::memory_order_acquire);
  while (SlotState::tag(state) == Tag::ready &&
         SlotState::is_at(state, task.position.load(std::memory_order_relaxed))) {
    if (!slot.state.compare_exchange_weak(state, SlotState::with_tag(state, Tag::free)))
      continue;  // Model: cancel_ready
    end_slot(slot, task, Ending::cancelled);
    if ((state & SlotState::kRingService) != 0 || !backlog_.empty()) plan_.ring_service();
    return true;
  }
  return false;
}

void TaskRing::end_backlog(Ending ending) noexcept {
  for (TaskState* task : backlog_) {
    if (!task->ended()) open_.end(*task, ending);
    release(*task);
  }
  backlog_.clear();
}

bool TaskRing::publish_again() {
  const std::uint64_t slots = plan_.memory.slot_mask + 1, end = tail_;
  bool any = false;
  for (std::uint64_t position = oldest_; position < end; ++position) {
    if (!is_ready_at(*this, position)) continue;
    auto& word = plan_.memory.slot(position).state;
    std::uint64_t state = word.load(std::memory_order_acquire);
    if (SlotState::tag(state) != Tag::ready) continue;  // claimed just now
    const std::uint64_t again = position + slots;
    // Model: publish_again
    if (!word.compare_exchange_strong(state,
                                      SlotState::ready(again & SlotState::kPositionMask, state & SlotState::kRings),
                                      std::memory_order_acq_rel))
      continue;
    owners_[position & plan_.memory.slot_mask]->position.store(again, std::memory_order_release);
    tail_ = again + 1;
    any = true;
  }
  if (any) published_ = Published::some;
  return any;
}

void TaskRing::wake_for(Published published) const noexcept {  // Model: alert
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (nobody_sleeps(plan_.memory) || somebody_spins(plan_.memory, published != Published::first)) return;
  wake_one(plan_.memory);
}

bool is_ready_at(const TaskRing& ring, std::uint64_t position) noexcept {
  if (position >= ring.tail() || ring.task_at(position) == nullptr) return false;
  const std::uint64_t state = ring.memory().slot(position).state.load(std::memory_order_acquire);
  return SlotState::tag(state) == Tag::ready && SlotState::is_at(state, position);
}

bool runs(const TaskRing& ring, unsigned worker, std::uint64_t position) noexcept {
  if (ring.task_at(position) == nullptr) return false;
  const PoolMemory& memory = ring.memory();
  const std::uint64_t state = memory.slot(position).state.load(std::memory_order_acquire);
  return is_consistent(memory, state, position) &&
         (SlotState::tag(state) == Tag::running || SlotState::tag(state) == Tag::marked_for_kill) &&
         SlotState::worker(state) == worker &&
         memory.worker_records[worker].current.load(std::memory_order_acquire) == position + 1;
}

bool is_elsewhere(const TaskRing& ring, unsigned worker, std::uint64_t position) noexcept {
  const std::uint64_t current = ring.memory().worker_records[worker].current.load(std::memory_order_acquire);
  return current != 0 && current != position + 1 && runs(ring, worker, current - 1);
}

}  // namespace retinue::detail
