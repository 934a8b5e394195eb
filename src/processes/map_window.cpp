// The look-ahead of a map over a process pool.
#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <vector>

#include <retinue/detail/processes/process_backend.hpp>
#include <retinue/detail/tasks/owner_doorbell.hpp>

#include "look_ahead.hpp"
#include "pool_core.hpp"
#include "staged_tasks.hpp"

namespace retinue::detail {
namespace {

/// Tasks go round: spare -> staged -> under way -> (in the run ->) given to the caller -> spare. This map owns
/// them, also while they are under way; the destructor makes over to the pool those that are still running.
class PoolMapWindow final : public MapWindow {
 public:
  PoolMapWindow(CoreRef core, EntryRef entry, const TaskOptions& options, Order order)
      : core_(std::move(core)),
        entry_(entry),
        options_(options),
        ordered_(order == Order::inputs),
        look_ahead_(options_.look_ahead, core_->workers()) {
    run_at_ = run_end_ = run_.results.data();
  }

  ~PoolMapWindow() override {
    drop_staged();
    core_->abandon(all_, kept_, terminating_);
    for (TaskState* task : all_) task->release();
  }

  std::size_t wanted() const override {
    core_->owner().refuse_if_made_elsewhere();
    if (inputs_ended_ || outstanding() >= look_ahead_.size()) return 0;
    if ((inputs_paused_ && run_.noted == run_.taken(run_at_)) || is_heavy()) return 0;
    return look_ahead_.room(outstanding());
  }

  std::byte* stage(std::size_t bytes) override {
    core_->owner().refuse_if_made_elsewhere();
    TaskState* task = take_spare();
    try {
      std::byte* room;
      if (bytes <= Slot::kInlineBytes) {
        room = staged_.add_small(task, bytes);
        task->argument_bytes = 0;
      } else {
        Region& region = core_->region();
        const std::uint64_t block = region.allocate(bytes);
        task->payload.take_owner_block(region, block, bytes);
        staged_.add_large(task, bytes);
        task->argument_bytes = bytes;
        outstanding_bytes_ += bytes;
        room = region.at(block);
      }
      task->index = next_index_++;
      ++outstanding_;
      return room;
    } catch (...) {
      task->payload.clear();
      task->ending.store(Ending::cancelled, std::memory_order_relaxed);
      spare_.push_back(task);
      throw;
    }
  }

  void keep_for_last(KeptMemory kept, std::size_t bytes) override {
    TaskState& task = staged_.last();
    if (!kept.empty()) task.kept = std::make_unique<KeptMemory>(std::move(kept));
    task.argument_bytes += bytes;
    outstanding_bytes_ += bytes;
  }

  std::size_t unfinished() override {
    core_->collect();
    return static_cast<std::size_t>(
        std::count_if(all_.begin(), all_.end(), [](const TaskState* t) { return !t->ended(); }));
  }

  void pause_inputs() noexcept override {
    note_taken();
    inputs_paused_ = true;
  }
  bool is_empty() const noexcept override { return outstanding() == 0; }
  std::size_t outstanding() const noexcept override { return outstanding_ - (run_.taken(run_at_) - run_.noted); }
  std::size_t look_ahead() const noexcept override { return look_ahead_.size(); }

  void tasks_are_steady(bool steady) noexcept override { look_ahead_.set_steady(steady); }
  void inputs_wait(bool wait) noexcept override { inputs_wait_ = wait; }

  bool has_result() override {
    if (run_at_ != run_end_) return true;
    if (ordered_) return !under_way_.empty() && core_->waiting().done(*under_way_.front());
    if (ready_ == nullptr) {
      core_->collect();
      ready_ = core_->take_finished(finished_);
    }
    return ready_ != nullptr;
  }

  void nudge() noexcept override {
    nudged_.store(true);
    core_->doorbell().ring();
  }

  bool wait_for_nudge(const Deadline& deadline) override {
    const bool nudged = core_->waiting().wait_for_nudge(nudged_, deadline);
    if (nudged) nudged_.store(false);
    return nudged;
  }
  bool is_heavy() const noexcept override {
    return outstanding_bytes_ > kMaxBytesAhead && outstanding() >= 2 * core_->workers();
  }

  void unstage() noexcept override {
    drop(&staged_.last());
    staged_.remove_last();
    --next_index_;
  }

  void publish() override {
    if (staged_.empty()) return;
    batch_.clear();
    for (const StagedTasks::Staged& staged : staged_) {
      TaskState& task = *staged.task;
      const bool small = task.payload.owner_block() == 0;
      const std::byte* bytes = small ? staged_.arguments_of(staged) : nullptr;
      if (small && options_.retries != 0) task.payload.copy(bytes, staged.size);
      if (!ordered_) task.finished_list = &finished_;
      batch_.push_back({&task, bytes, staged.size});
    }
    const std::size_t before = under_way_.size();
    std::size_t taken = 0;
    try {
      if (ordered_)
        for (const StagedTasks::Staged& staged : staged_) under_way_.push_back(staged.task);
      core_->submit_all(batch_, taken);
    } catch (...) {
      staged_.remove_first(taken);
      if (ordered_) under_way_.resize(before + taken);
      drop_staged();
      throw;
    }
    staged_.clear();
  }

  Next next(Result& result, const Deadline& deadline) override {
    core_->owner().refuse_if_made_elsewhere();
    note_taken();
    for (; run_.recycled < run_.noted; ++run_.recycled) recycle(run_.tasks[run_.recycled]);
    if (given_ != nullptr) recycle(std::exchange(given_, nullptr));
    if (outstanding_ == 0) return Next::over;
    if (!staged_.empty()) publish();
    if (next_of_run(result)) return Next::result;
    Next outcome = Next::result;
    TaskState* task = ordered_ ? next_in_order(deadline, outcome) : next_finished(deadline, outcome);
    if (task == nullptr) return outcome;
    --outstanding_;
    outstanding_bytes_ -= task->argument_bytes;
    inputs_paused_ = false;
    look_ahead_.note_taken();
    given_ = task;
    result.index = task->index;
    result.error = nullptr;
    order_after(&task->ending);
    if (task->ending.load(std::memory_order_acquire) == Ending::value) result.value = task->payload.bytes();
    else result.error = task->error();
    if (ordered_ && look_ahead_.size() >= kBulkWindow) {
      run_at_ = run_.results.data();
      run_end_ = run_at_ + run_.find(under_way_);
    }
    return Next::result;
  }

  SharedMemory take() noexcept override {
    return given_ != nullptr && run_.taken(run_at_) == 0 ? given_->payload.release_result_block() : SharedMemory{};
  }
  void wait_for_running() noexcept override {
    drop_staged();
    // First all are cancelled, so that no worker goes on to the next meanwhile.
    for (TaskState* task : all_)
      if (!task->ended()) core_->cancel(*task, false);
    for (TaskState* task : all_) core_->waiting().wait(*task, std::nullopt);
  }
  void terminate_on_destruction() noexcept override { terminating_ = true; }
  void inputs_ended() noexcept override { inputs_ended_ = true; }
  void keep(std::shared_ptr<const void> kept) noexcept override { kept_ = std::move(kept); }

 private:
  static constexpr std::size_t kMaxBytesAhead = 64u << 20;
  static constexpr std::size_t kBulkWindow = 256;
  static constexpr std::size_t kLongestRun = 32;
  static constexpr std::chrono::milliseconds kBulkSleep{1};

  // Results that were found at once: run_at_ and run_end_ say which of them are left.
  struct Run {
    std::array<Ended, kLongestRun> results;
    std::array<TaskState*, kLongestRun> tasks;
    std::size_t noted = 0;     // of those that were given: no longer outstanding
    std::size_t recycled = 0;  // and spare again

    std::size_t taken(const Ended* at) const noexcept { return static_cast<std::size_t>(at - results.data()); }
    // Values that come next and are there. Returns how many.
    std::size_t find(std::deque<TaskState*>& under_way) noexcept {
      noted = recycled = 0;
      std::size_t size = 0;
      while (size < kLongestRun && !under_way.empty()) {
        TaskState* const task = under_way.front();
        if (task->ending.load(std::memory_order_acquire) != Ending::value || task->argument_bytes != 0 ||
            task->payload.lies_in_result_block())
          break;
        order_after(&task->ending);
        results[size] = {task->index, task->payload.bytes()};
        tasks[size++] = task;
        under_way.pop_front();
      }
      return size;
    }
  };

  void note_taken() noexcept {
    const std::size_t taken = run_.taken(run_at_);
    if (run_.noted == taken) return;
    for (; run_.noted < taken; ++run_.noted, --outstanding_) look_ahead_.note_taken();
    inputs_paused_ = false;
  }

  void recycle(TaskState* task) {
    task->payload.clear();
    spare_.push_back(task);  // room was made when it was new
  }

  TaskState* take_spare() {
    if (!spare_.empty()) {
      TaskState* task = spare_.back();
      spare_.pop_back();
      task->reset(options_);
      return task;
    }
    if (spare_.capacity() <= all_.size()) spare_.reserve(2 * all_.size() + 64);
    if (all_.capacity() == all_.size()) all_.reserve(2 * all_.size() + 64);
    TaskState* task = new TaskState(core_, entry_, options_, 1);
    task->owned_by_map = true;
    all_.push_back(task);
    return task;
  }

  // Cancels a task that was staged but never handed to the pool.
  void drop(TaskState* task) noexcept {
    outstanding_bytes_ -= task->argument_bytes;
    --outstanding_;
    task->payload.clear();
    task->kept.reset();
    task->finished_list = nullptr;
    task->ending.store(Ending::cancelled, std::memory_order_relaxed);
    spare_.push_back(task);
  }

  void drop_staged() noexcept {
    for (const StagedTasks::Staged& staged : staged_) drop(staged.task);
    staged_.clear();
  }

  // Workers have nothing left to claim while we wait: read more inputs, if there may be any.
  // False if none would be read even so: a caller that came back at once would come back for ever.
  bool grow() {
    if (inputs_ended_ || inputs_wait_ || inputs_paused_ || is_heavy()) return false;
    look_ahead_.grow();
    return wanted() != 0;
  }

  // Tasks whose ends show that the workers run out of tasks while the first is slow, and that inputs should
  // be read: the last ones, and one more than there are workers, which may all be busy with slow ones.
  std::span<TaskState* const> last_under_way() {
    last_.clear();
    if (inputs_ended_) return last_;
    for (std::size_t i = under_way_.size(); i > 1 && last_.size() <= core_->workers(); --i)
      if (!under_way_[i - 1]->ended()) last_.push_back(under_way_[i - 1]);
    return last_;
  }

  // True if `next` must return without a result, and why; else it may wait on.
  bool must_return(bool nothing_left, const Deadline& deadline, Next& otherwise) {
    if (nothing_left && grow()) {
      otherwise = Next::starved;
    } else if (nudged_.load()) {
      nudged_.store(false);
      otherwise = Next::starved;
    } else if (deadline && Clock::now() >= *deadline) {
      otherwise = Next::timed_out;
    } else {
      return false;
    }
    return true;
  }

  TaskState* next_in_order(const Deadline& deadline, Next& otherwise) {
    TaskState* first = under_way_.front();
    while (!first->ended()) {
      const bool nothing_left = core_->collect();
      if (first->ended()) break;  // cppcheck-suppress oppositeInnerCondition ; collect() ends tasks
      if (must_return(nothing_left, deadline, otherwise)) return nullptr;
      // In a window of tiny tasks results come faster than one can look: rather than look at each and
      // take a worker's CPU for it, sleep until a good part of the window is done.
      if (look_ahead_.size() >= kBulkWindow && under_way_.size() >= look_ahead_.size() / 2) {
        TaskState* half = under_way_[under_way_.size() / 2];
        if (!half->ended() && core_->waiting().sleep_for_bulk(*half, kBulkSleep)) continue;
      }
      core_->waiting().wait_for_any_of(*first, last_under_way(), nudged_, deadline);
    }
    under_way_.pop_front();
    return first;
  }

  TaskState* next_finished(const Deadline& deadline, Next& otherwise) {
    TaskState* task = nullptr;
    while ((task = ready_) == nullptr) {
      ready_ = core_->take_finished(finished_);
      if (ready_ != nullptr) continue;
      const bool nothing_left = core_->collect();
      ready_ = core_->take_finished(finished_);
      if (ready_ != nullptr) continue;
      if (must_return(nothing_left, deadline, otherwise)) return nullptr;
      if (look_ahead_.size() < kBulkWindow || !core_->waiting().sleep_for_half(kBulkSleep))
        core_->waiting().wait_for_finished(finished_, nudged_, deadline);
    }
    ready_ = task->next;
    task->next = nullptr;
    return task;
  }

  std::shared_ptr<const void> kept_;
  const CoreRef core_;
  const EntryRef entry_;
  const ChosenOptions options_;
  const bool ordered_;
  LookAhead look_ahead_;
  std::size_t outstanding_ = 0;  // staged and under way, and ended but not given yet
  std::size_t outstanding_bytes_ = 0;
  std::uint64_t next_index_ = 0;
  bool inputs_ended_ = false;
  bool inputs_wait_ = false;
  bool inputs_paused_ = false;
  bool terminating_ = false;
  std::atomic<bool> nudged_{false};  // by any thread; reset by the one that waits

  StagedTasks staged_;
  std::vector<PoolCore::Staged> batch_;
  std::vector<TaskState*> all_;       // every task made, each with our reference
  std::vector<TaskState*> spare_;     // those to use again
  std::deque<TaskState*> under_way_;  // those handed to the pool, in order; of an ordered map only
  std::vector<TaskState*> last_;      // for last_under_way
  FinishedList finished_;             // appended to by the pool under its mutex; of an unordered map only
  TaskState* ready_ = nullptr;        // taken from finished_
  TaskState* given_ = nullptr;        // by the last `next`, but for those of ...
  Run run_;                           // ... what next_of_run gives
};

}  // namespace

std::unique_ptr<MapWindow> PoolCore::open_map(EntryRef entry, const TaskOptions& options, Order order) {
  add_ref();
  return std::make_unique<PoolMapWindow>(CoreRef(this), entry, options, order);
}

}  // namespace retinue::detail
