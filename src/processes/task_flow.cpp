// How tasks go into slots and results come out of them. Everything here runs in the owner.
#include <cstring>
#include <new>
#include <utility>

#include "codec/exceptions.hpp"
#include "system/fork_watch.hpp"
#include "pool_core.hpp"

#include <retinue/detail/tasks/owner_bell.hpp>

namespace retinue::detail {
namespace {

constexpr std::uint64_t kFetchAhead = 8;

}  // namespace

PoolCore::Hold::~Hold() {
  const bool published = std::exchange(core_.published_, false);
  const bool was_idle = core_.was_idle_;
  // Model: show_published
  if (published) core_.plan_.memory.control->tail.store(core_.tail_, std::memory_order_release);
  const bool first = published && !core_.inspection_.on;
  if (first) {
    core_.inspection_.on = true;
    core_.plan_.ring_service();
  }
  core_.mutex_.unlock();
  if (published) core_.alert(was_idle);
}

void PoolCore::refuse_foreign() const {
  if (!foreign()) return;
  if (is_of_another_copy(generation_)) throw Error(kTwoCopies);
  throw PoolClosed("this pool belongs to the process that made it, and this is a forked child: make another pool here");
}

void PoolCore::require_open() const {
  if (stage_ != Stage::open || closed_) throw PoolClosed(closed_ ? closed_why_ : "the pool was shut down");
}

void PoolCore::check_open() {
  refuse_foreign();
  const std::lock_guard lock(mutex_);
  require_open();
}

bool PoolCore::is_running(const TaskState& task) noexcept {
  const std::uint64_t position = task.position.load(std::memory_order_acquire);
  if (position == TaskState::kNowhere || task.ended() || foreign()) return false;
  const std::uint64_t state = plan_.memory.slot(position).state.load(std::memory_order_acquire);
  return State::is_at(state, position) && State::tag(state) == Tag::running;
}

SharedMemory PoolCore::take_result(TaskState& task) {
  if (task.ending.load(std::memory_order_acquire) != Ending::value) std::rethrow_exception(task.error());
  refuse_foreign();  // the block is the parent's, who may free it at any time
  const std::lock_guard lock(mutex_);
  if (task.taken) throw Error("the value of this task was taken by an earlier look at it: it is not copied");
  const SharedMemory memory = task.payload.release_result_block();
  task.taken = memory.data != nullptr;
  return memory;
}

inline Ref<TaskState> PoolCore::new_task(EntryRef entry, StagedPayload& arguments, const TaskOptions& options,
                                         std::uint32_t references) {
  add_ref();
  Ref<TaskState> task(new TaskState(CoreRef(this), entry, options, references));
  if (arguments.block() != 0) {
    task->payload.take_owner_block(region(), arguments.block(), arguments.size());
    arguments.release_block();
  } else if (task->retries != 0) {
    task->payload.copy(arguments.small(), arguments.size());
  }
  return task;
}

Ref<EncodedCompletion> PoolCore::submit(EntryRef entry, StagedPayload& arguments, const TaskOptions& options) {
  refuse_foreign();
  Ref<TaskState> task = new_task(entry, arguments, options, 2);
  Ref<TaskState> for_pool(task.get());
  {
    const Hold hold(*this);
    require_open();
    task->index = stats_.submitted;
    enqueue(*task, arguments.small(), arguments.size());
    (void)for_pool.release();
  }
  return task;
}

void PoolCore::submit_many(std::span<const EncodedCall> calls, const TaskOptions& options,
                           std::vector<Ref<EncodedCompletion>>& submitted) {
  refuse_foreign();
  std::vector<Ref<TaskState>> tasks;
  tasks.reserve(calls.size());
  for (const EncodedCall& each : calls) tasks.push_back(new_task(each.entry, *each.arguments, options, 1));
  submitted.reserve(submitted.size() + calls.size());
  const Hold hold(*this);
  require_open();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    Ref<TaskState> for_pool = tasks[i];
    tasks[i]->index = stats_.submitted;
    enqueue(*tasks[i], calls[i].arguments->small(), calls[i].arguments->size());
    (void)for_pool.release();
    submitted.emplace_back(std::move(tasks[i]));
  }
}

Ref<EncodedCompletion> PoolCore::submit_function(std::function<void()>, const TaskOptions&) {
  throw Error("a function that does not travel cannot run in a worker process: submit an entry with arguments");
}

void PoolCore::submit_all(std::span<const Staged> tasks, std::size_t& taken) {
  taken = 0;
  refuse_foreign();
  const Hold hold(*this);
  require_open();
  for (const Staged& staged : tasks) {
    enqueue(*staged.task, staged.small, staged.size);
    ++taken;
  }
}

void PoolCore::enqueue(TaskState& task, const std::byte* small, std::uint64_t size) {
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
  ++stats_.submitted;
  ++unfinished_;
  if (task.timeout.count() > 0 && (timed_++ == 0 || task.timeout < shortest_timeout_)) {
    shortest_timeout_ = task.timeout;
    plan_.ring_service();  // its next look must not come later than this
  }
}

// Its deadline has passed before it was handed in.
void PoolCore::end_unrun(TaskState& task) noexcept {
  ++stats_.submitted;
  ++unfinished_;
  end_task(task, Ending::timed_out);
  let_go(task);
}

// The slot of the next position, if it is free or can be made so. Positions whose slot a worker is busy
// in are passed over: the tail goes on without them.
Slot* PoolCore::free_slot() {
  for (std::uint64_t n = 0; n <= plan_.memory.slot_mask; ++n, ++tail_) {  // Model: pass_over
    Slot& slot = plan_.memory.slot(tail_);
    TaskState* task = owners_[tail_ & plan_.memory.slot_mask];
    if (task == nullptr) return &slot;
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (State::tag(state) == Tag::ready) return nullptr;  // the ring is full
    if (is_done(state, *task)) {
      harvest(slot, *task, state);
      return &slot;
    }
  }
  return nullptr;
}

void PoolCore::publish(Slot& slot, TaskState& task, const std::byte* small, std::uint64_t size) {
  slot.entry = task.entry;
  slot.block = task.payload.owner_block();
  if (slot.block == 0 && size != 0) std::memcpy(slot.payload, small, size);
  slot.describe(size, task.timeout.count() > 0 ? Slot::kTimed : 0, ResultKind::value);
  owners_[tail_ & plan_.memory.slot_mask] = &task;
  task.position.store(tail_, std::memory_order_release);
  // Model: publish
  slot.state.store(State::ready(tail_ & State::kPositionMask, task.rings), std::memory_order_release);
  task.rings = 0;
  // Of a batch, a spinner may have claimed the first task before the second is there.
  was_idle_ = !published_ && in_slots_ == 0;
  published_ = true;
  ++tail_;
  ++in_slots_;
}

// Moves waiting tasks into free slots; true if none waits any more.
bool PoolCore::refill() {
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
      let_go(task);
    }
  }
  return true;
}

// Has the service thread rung when about half of what is in slots is done, so that waiting tasks find
// room even if no thread of the owner's comes by. One mark would not do, for that task may be a slow one:
// of one more than there are workers, at least one ends as long as any worker goes on. If there are fewer because
// some ended meanwhile, there is room already.
void PoolCore::ask_for_refill() {
  if (refill_asked_) return;
  refill_asked_ = true;  // Model: ask_for_refill
  unsigned marked = 0;
  bool room = false;
  const auto try_mark = [&](std::uint64_t position) {
    TaskState* task = owners_[position & plan_.memory.slot_mask];
    if (task != nullptr && task->position.load(std::memory_order_relaxed) == position) {
      if (mark(*task, State::kRingService)) ++marked;
      else room = true;
    }
    return marked > workers();
  };
  const std::uint64_t half = oldest_ + (tail_ - oldest_) / 2;
  for (std::uint64_t position = half; position < tail_; ++position)
    if (try_mark(position)) return;
  for (std::uint64_t position = half; position > oldest_; --position)
    if (try_mark(position - 1)) return;
  for (const Straggler& straggler : stragglers_)
    if (try_mark(straggler.position)) return;
  if (marked == 0 || room) plan_.ring_service();
}

pid_t PoolCore::pid_of(unsigned worker) const noexcept {
  // A worker may have ended its first task before the service thread has noted its pid.
  return tended_[worker].pid != 0 ? tended_[worker].pid
                                  : plan_.memory.seats[worker].pid.load(std::memory_order_relaxed);
}

void PoolCore::harvest(Slot& slot, TaskState& task, std::uint64_t state) {  // Model: harvest
  const unsigned worker = State::worker(state) < workers() ? State::worker(state) : 0;
  const std::uint64_t size = slot.size(), block = slot.block;
  Ending ending = slot.kind() == static_cast<std::uint8_t>(ResultKind::value) ? Ending::value : Ending::exception;
  task.worker_pid = pid_of(worker);
  try {
    if (block != 0) {
      if (tended_[worker].part == nullptr)
        throw CodecError("a slot names a worker that is gone (a worker may have overwritten its memory)");
      task.payload.adopt(region(), tended_[worker].part, block, size);
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

bool PoolCore::harvest_if_done(TaskState& task) {
  if (task.ended()) return true;
  if (task.position.load(std::memory_order_relaxed) == TaskState::kNowhere) return false;
  Slot& slot = slot_of(task);
  const std::uint64_t state = slot.state.load(std::memory_order_acquire);
  if (!is_done(state, task)) return false;
  harvest(slot, task, state);
  return true;
}

// The slot is free from here on. Its state word stays as it is, done for the most part: what makes it free
// is that nobody owns it, and not writing to it saves fetching the line from the worker's cache.
void PoolCore::end_slot(Slot& slot, TaskState& task, Ending ending) {
  owners_[static_cast<std::size_t>(&slot - plan_.memory.slots)] = nullptr;
  --in_slots_;
  end_task(task, ending);
  let_go(task);
}

void PoolCore::let_go(TaskState& task) noexcept {
  if (!task.lent) task.release();
}

void PoolCore::end_task(TaskState& task, Ending ending) noexcept {
  --unfinished_;
  if (task.timeout.count() > 0) --timed_;
  ++stats_.finished;
  if (ending == Ending::cancelled) ++stats_.cancelled;
  else if (ending != Ending::value) ++stats_.failed;
  task.kept.reset();
  if (task.finished_list != nullptr) task.finished_list->append(task);
  if (!task.callbacks.empty()) {
    task.add_ref();
    owed_.append(task);
    plan_.ring_service();
  }
  task.ending.store(ending, std::memory_order_release);
}

// The task's worker died, or it is not known whether it had one: it waits for a slot again.
void PoolCore::run_again(Slot& slot, TaskState& task) {
  backlog_.push_front(&task);
  --task.retries;
  ++stats_.retried;
  owners_[static_cast<std::size_t>(&slot - plan_.memory.slots)] = nullptr;
  --in_slots_;
  task.position.store(TaskState::kNowhere, std::memory_order_relaxed);
  task.rings = static_cast<std::uint8_t>(State::kRings);  // one too many does no harm, one too few would
}

// Reads what is done and refills what is free. True if tasks are left that a free worker could claim.
bool PoolCore::pump() {  // Model: pump
  for (std::size_t i = 0; i < stragglers_.size();) {
    const Straggler straggler = stragglers_[i];
    TaskState* task = owners_[straggler.slot];
    if (task != nullptr && task->position.load(std::memory_order_relaxed) == straggler.position &&
        !harvest_if_done(*task)) {
      ++i;
    } else {
      stragglers_[i] = stragglers_.back();
      stragglers_.pop_back();
    }
  }
  for (; oldest_ < tail_; ++oldest_) {
    const auto index = static_cast<std::uint32_t>(oldest_ & plan_.memory.slot_mask);
    TaskState* task = owners_[index];
    if (task == nullptr || task->position.load(std::memory_order_relaxed) != oldest_) continue;
    Slot& slot = plan_.memory.slots[index];
    prefetch_to_write(&plan_.memory.slot(oldest_ + kFetchAhead));
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (State::tag(state) == Tag::ready) break;
    if (is_done(state, *task)) harvest(slot, *task, state);
    else stragglers_.push_back({oldest_, index});
  }
  if (!backlog_.empty()) refill();
  return unclaimed_left();
}

// Asks for rings at the end of `task`. False if it is done by now (and may have to be harvested).
bool PoolCore::mark(TaskState& task, std::uint64_t ring) {
  if (task.ended()) return false;
  if (task.position.load(std::memory_order_relaxed) == TaskState::kNowhere) {
    task.rings |= static_cast<std::uint8_t>(ring);
    return true;
  }
  auto& word = slot_of(task).state;
  std::uint64_t state = word.load(std::memory_order_acquire);
  do {
    if (is_done(state, task)) return false;
    // Overwritten by a worker gone wild: the task ends when that worker finishes it or dies.
    if (!is_consistent(state, task.position.load(std::memory_order_relaxed))) return true;
  } while (!word.compare_exchange_weak(state, state | ring, std::memory_order_acq_rel));  // Model: mark
  return true;
}

// Asks for rings from all running tasks and from those that will be claimed first, one more than there
// are workers: one of them is the next to end. False if some task is done already.
bool PoolCore::mark_what_ends_next() {
  for (const Straggler& straggler : stragglers_)
    if (TaskState* task = owners_[straggler.slot]; task != nullptr && !mark(*task, State::kRingOwner)) return false;
  unsigned marked = 0;
  for (std::uint64_t position = oldest_; position < tail_ && marked <= workers(); ++position) {
    TaskState* task = owners_[position & plan_.memory.slot_mask];
    if (task == nullptr || task->position.load(std::memory_order_relaxed) != position) continue;
    if (!mark(*task, State::kRingOwner)) return false;
    ++marked;
  }
  return true;
}

void PoolCore::alert(bool was_idle) noexcept {  // Model: alert
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (nobody_sleeps(plan_.memory) || somebody_spins(plan_.memory, !was_idle)) return;
  wake_one(plan_.memory);
}

// Marks a running task's slot, so that its worker cannot go on to another, and has the worker killed.
bool PoolCore::condemn(TaskState& task, Ending ending) {
  const std::uint64_t position = task.position.load(std::memory_order_relaxed);
  auto& word = slot_of(task).state;
  std::uint64_t state = word.load(std::memory_order_acquire);
  unsigned worker = 0;
  do {
    if (!is_consistent(state, position)) {  // overwritten: its worker is the one that says it runs it
      worker = worker_at(position);
      if (worker < workers()) break;
      return false;
    }
    if (State::tag(state) != Tag::running || is_elsewhere(State::worker(state), position)) return false;
    worker = State::worker(state);
    // Model: condemn
  } while (!word.compare_exchange_weak(state, State::with_tag(state, Tag::condemned), std::memory_order_acq_rel));
  task.wanted_ending = ending;
  task.worker_pid = pid_of(worker);
  ask_to_kill(worker);
  plan_.ring_server();
  plan_.ring_service();  // it looks after a fork server that does not do it
  return true;
}

void PoolCore::ask_to_kill(unsigned worker) noexcept {
  tended_[worker].kill_asked = true;
  plan_.memory.seats[worker].kill_wanted.store(kKillWanted, std::memory_order_release);  // Model: ask_to_kill
}

unsigned PoolCore::worker_at(std::uint64_t position) const noexcept {
  unsigned worker = 0;
  while (worker < workers() && plan_.memory.seats[worker].current.load(std::memory_order_acquire) != position + 1)
    ++worker;
  return worker;
}

// A slot went from ready to free. If its end was to bring waiting tasks into slots, something else must.
void PoolCore::take_back(Slot& slot, TaskState& task, std::uint64_t state) {  // Model: take_back
  end_slot(slot, task, Ending::cancelled);
  if ((state & State::kRingService) != 0 || !backlog_.empty()) plan_.ring_service();
}

// Whether a slot's state can be that of the task at `position`, or was overwritten.
bool PoolCore::is_consistent(std::uint64_t state, std::uint64_t position) const noexcept {
  const Tag tag = State::tag(state);
  if (!State::is_at(state, position)) return false;
  if (tag == Tag::ready) return State::worker(state) == 0;
  return (tag == Tag::running || tag == Tag::condemned || tag == Tag::done) && State::worker(state) < workers();
}

bool PoolCore::cancel(TaskState& task, bool force) {
  if (end_if_foreign(task)) return false;
  {
    const Hold hold(*this);
    for (;;) {
      // NOLINTNEXTLINE(clang-analyzer-cplusplus.NewDelete): the caller keeps a reference
      if (harvest_if_done(task)) return task.cancelled();
      if (task.position.load(std::memory_order_relaxed) == TaskState::kNowhere) {
        end_task(task, Ending::cancelled);  // its place in the backlog is passed over later
        break;
      }
      Slot& slot = slot_of(task);
      std::uint64_t state = slot.state.load(std::memory_order_acquire);
      if (State::tag(state) == Tag::ready && State::is_at(state, task.position.load(std::memory_order_relaxed))) {
        if (!slot.state.compare_exchange_strong(state, State::with_tag(state, Tag::free))) continue;
        take_back(slot, task, state);
        break;
      }
      if (State::tag(state) == Tag::condemned) return task.wanted_ending == Ending::cancelled;
      const std::uint64_t position = task.position.load(std::memory_order_relaxed);
      const bool overwritten = !is_consistent(state, position) || is_elsewhere(State::worker(state), position);
      if (!overwritten && State::tag(state) != Tag::running) continue;
      if (!force) return false;
      if (condemn(task, Ending::cancelled)) return true;
      if (overwritten) return false;
    }
  }
  plan_.owner_bell->ring();
  return true;
}

void PoolCore::cancel_unstarted() {
  for (TaskState* task : backlog_) {
    if (!task->ended()) end_task(*task, Ending::cancelled);
    let_go(*task);
  }
  backlog_.clear();
  for (std::uint64_t i = 0; i <= plan_.memory.slot_mask; ++i) {
    if (owners_[i] == nullptr) continue;
    Slot& slot = plan_.memory.slots[i];
    std::uint64_t state = slot.state.load(std::memory_order_acquire);
    while (State::tag(state) == Tag::ready && State::is_at(state, owners_[i]->position.load(std::memory_order_relaxed)))
      if (slot.state.compare_exchange_weak(state, State::with_tag(state, Tag::free))) {
        take_back(slot, *owners_[i], state);
        break;
      }
  }
}

void PoolCore::abandon(std::span<TaskState* const> tasks, const std::shared_ptr<const void>& kept,
                       bool at_once) noexcept {
  if (foreign()) return;
  abandon_with_mutex(tasks, kept, at_once);
  // Whoever waits for tasks behind these, or for all to end, must look again.
  plan_.owner_bell->ring();
}

void PoolCore::abandon_with_mutex(std::span<TaskState* const> tasks, const std::shared_ptr<const void>& kept,
                                  bool at_once) noexcept {
  const Hold hold(*this);
  for (TaskState* task : tasks) {
    task->finished_list = nullptr;
    if (task->ended()) continue;
    task->add_ref();
    task->lent = false;
    if (task->position.load(std::memory_order_relaxed) == TaskState::kNowhere) {
      end_task(*task, Ending::cancelled);
      continue;
    }
    Slot& slot = slot_of(*task);
    std::uint64_t state = slot.state.load(std::memory_order_acquire);
    while (State::tag(state) == Tag::ready && State::is_at(state, task->position.load(std::memory_order_relaxed)))
      if (slot.state.compare_exchange_weak(state, State::with_tag(state, Tag::free))) {
        take_back(slot, *task, state);
        break;
      }
    if (task->ended()) continue;  // NOLINT(clang-analyzer-cplusplus.NewDelete): the map keeps a reference
    if (at_once) condemn(*task, Ending::cancelled);
    if (kept) keep_until_done(*task, kept);
    if (task->kept && !mark(*task, State::kRingService)) plan_.ring_service();  // its memory goes when it ends
  }
}

void PoolCore::keep_until_done(TaskState& task, const std::shared_ptr<const void>& kept) noexcept {
  try {
    task.callbacks.push_back([kept] {});
  } catch (const std::bad_alloc&) {
    [[maybe_unused]] auto* const for_ever = new (std::nothrow) auto(kept);
    return;
  }
  if (!mark(task, State::kRingService)) plan_.ring_service();
}

}  // namespace retinue::detail
