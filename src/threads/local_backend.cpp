#include <retinue/detail/threads/local_backend.hpp>

#include <utility>

#include <retinue/detail/tasks/owner_doorbell.hpp>
#include <retinue/detail/threads/thread_core.hpp>
#include <retinue/error.hpp>
#include <retinue/shared_array.hpp>

#include "system/fork_watch.hpp"

namespace retinue::detail {
namespace {

/// A task whose value is bytes, run by a task of threads. The two hold each other until that one has run or was cancelled.
class LocalTask final : public EncodedCompletion {
 public:
  /// Of an entry.
  LocalTask(EntryRef entry, StagedPayload& arguments) : entry_(entry) { arguments_.take(arguments); }
  /// Of a function.
  explicit LocalTask(std::function<void()> function) : function_(std::move(function)) {}

  /// Makes the threads' task, which counts one reference for a queue of `core` if that is not null.
  ThreadTask& prepare(ThreadCore* core, const TaskOptions& options) {
    add_ref();
    Step step{Ref<LocalTask>(this)};  // before the allocation, which may fail
    run_ = Ref<Run>(new Run(core, ChosenOptions(options).timeout, std::move(step)));
    return *run_;
  }

  bool done() noexcept override { return run_->done(); }
  bool wait(const Deadline& deadline) override { return run_->wait(deadline); }
  bool cancel(bool force) override { return run_->cancel(force); }
  bool cancelled() noexcept override { return run_->cancelled(); }
  bool running() noexcept override { return run_->running(); }
  void on_done(std::function<void()> callback) override { run_->on_done(std::move(callback)); }
  bool arm() override { return run_->arm(); }
  const OwnerDoorbell& doorbell() const override { return run_->doorbell(); }

  std::span<const std::byte> value_bytes() override {
    run_->take();
    if (taken_.load(std::memory_order_acquire))
      throw Error("the value of this task was taken by an earlier look at it");
    return {block_.data != nullptr ? static_cast<const std::byte*>(block_.data) : small_, bytes_};
  }
  SharedMemory take_block() override {
    run_->take();
    if (block_.data == nullptr) return {};
    if (taken_.exchange(true, std::memory_order_acq_rel))
      throw Error("the value of this task was taken by an earlier look at it: it is not copied");
    return block_;
  }

 private:
  struct Step {
    Ref<LocalTask> task;
    void operator()() const { task->run(); }
  };
  using Run = CallTask<void, Step>;

  ~LocalTask() override {
    if (generation_ != fork_generation()) arguments_.release_block();  // the parent's
    if (block_.data != nullptr && !taken_.load(std::memory_order_relaxed)) free_shared(block_);
  }

  void run() {
    if (function_) return function_();
    const auto entry = reinterpret_cast<Entry>(const_cast<void*>(find_code(nullptr, entry_)));
    TaskContext context(arguments_.bytes(), small_, block_, generation_);
    try {
      entry(context);
    } catch (...) {
      context.drop_result();
      throw;
    }
    bytes_ = context.result_bytes();
  }

  const std::uint64_t generation_ = fork_generation();
  const EntryRef entry_{};
  const std::function<void()> function_;
  StagedPayload arguments_;
  // The result. Written by the thread that runs the task, read once that is done.
  alignas(32) std::byte small_[TaskContext::kInlineBytes];
  SharedMemory block_;
  std::size_t bytes_ = 0;
  std::atomic<bool> taken_{false};
  Ref<Run> run_;
};

class LocalBackend final : public Backend {
 public:
  explicit LocalBackend(std::shared_ptr<ThreadCore> core) noexcept : core_(std::move(core)) {}

  unsigned workers() const noexcept override { return core_ ? worker_count(*core_) : 1; }

  Ref<EncodedCompletion> submit(EntryRef entry, StagedPayload& arguments, const TaskOptions& options) override {
    return start(Ref<LocalTask>(new LocalTask(entry, arguments)), options);
  }
  void submit_many(std::span<const EncodedCall> calls, const TaskOptions& options,
                   std::vector<Ref<EncodedCompletion>>& submitted) override {
    submitted.reserve(submitted.size() + calls.size());
    for (const EncodedCall& each : calls) submitted.push_back(submit(each.entry, *each.arguments, options));
  }
  bool is_local() const noexcept override { return true; }
  Ref<EncodedCompletion> submit_function(std::function<void()> function, const TaskOptions& options) override {
    return start(Ref<LocalTask>(new LocalTask(std::move(function))), options);
  }

  BackendStats statistics() override {
    if (!core_) return {.finished = finished_.load(std::memory_order_relaxed), .workers = 1};
    const ThreadPoolStats stats = stats_of(*core_);
    return {stats.finished + stats.cancelled, stats.cancelled, stats.queued, stats.workers};
  }
  Subscription subscribe(std::function<void(const WorkerDeath&)> on_death) override {
    return std::make_shared<std::function<void(const WorkerDeath&)>>(std::move(on_death));
  }

 private:
  Ref<EncodedCompletion> start(Ref<LocalTask> task, const TaskOptions& options) {
    ThreadTask& run = task->prepare(core_.get(), options);
    if (!core_) {
      run.run_here();
      finished_.fetch_add(1, std::memory_order_relaxed);
      return task;
    }
    try {
      enqueue(*core_, &run);
    } catch (...) {
      run.cancel(false);  // it releases `task`
      run.release();      // the queue's reference
      throw;
    }
    return task;
  }

  const std::shared_ptr<ThreadCore> core_;  // null: the calling thread
  std::atomic<std::uint64_t> finished_{0};
};

}  // namespace

Ref<Backend> make_local_backend(std::shared_ptr<ThreadCore> core) {
  return Ref<Backend>(new LocalBackend(std::move(core)));
}

}  // namespace retinue::detail
