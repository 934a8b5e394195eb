// A worker is killed at every instruction on its way out: as one that has run enough tasks, and as one of a pool that
// is shut down.
#include "every_place.hpp"

namespace worker_leave_steps_test {

using namespace retinue_test;
using Stop = TracedProcess::Stop;

/// A pool for one walk only. Its first worker is brought to the end of a task.
class Leaving : public Scene {
 public:
  Leaving(unsigned workers, std::uint64_t max_tasks) : options_(pool_options(workers, 0ns, max_tasks)) {}
  ~Leaving() override { board().counters[kGo].store(1); }

  std::unique_ptr<TracedProcess> begin() override {
    for (auto& counter : board().counters) counter.store(0);
    open_.emplace(options_);
    ending_ = open_->pool.submit(first_task, std::size_t{10});
    ending_at_ = open_->last_position();
    await([] { return board().counters[kReady].load() != 0; }, "the task");
    const auto index = SlotState::worker(open_->state_at(ending_at_));
    await([&] { return open_->pid_of(index) != 0; }, "the fork server's note");
    victim_ = open_->pid_of(index);
    record_ = &open_->memory.worker_records[index];
    auto worker = std::make_unique<TracedProcess>(victim_);
    board().counters[kGo].store(1);
    worker->run_to_marker();
    return worker;
  }
  void act(TracedProcess& worker) override {
    ending_tag_ = open_->tag_at(ending_at_);
    worker.kill();
  }

 protected:
  void expect_ending(bool acted) {
    EXPECT_EQ(end_of(ending_, text(10), victim_), acted && ending_tag_ == Tag::running ? "died" : "value");
    ending_ = {};
  }

  const ProcessPoolOptions options_;
  std::optional<OpenPool> open_;
  Future<std::string> ending_;
  std::uint64_t ending_at_ = 0;
  pid_t victim_ = 0;
  retinue::detail::WorkerRecord* record_ = nullptr;
  Tag ending_tag_{};
};

/// Of two workers, which both leave after each task.
class Retiring : public Leaving {
 public:
  Retiring() : Leaving(2, 1) {}

  void act(TracedProcess& worker) override {
    retires_ = worker.is_over() || record_->retiring.load() != 0;
    Leaving::act(worker);
  }
  void settle(bool acted) override {
    expect_ending(acted);
    expect_well(*open_);
    const std::uint64_t died = acted && !retires_ ? 1 : 0;
    EXPECT_TRUE(eventually([&] { return open_->pool.stats().workers_started >= 3; }));
    EXPECT_EQ(open_->pool.stats().workers_died, died);
    open_.reset();
  }

 private:
  bool retires_ = false;
};

TEST(WorkerLeaveSteps, killed_anywhere_while_it_retires_it_is_replaced) {
  SKIP_WITHOUT_STEPS();
  Retiring scene;
  act_at_every_place(scene, "retiring", {"finish"});
}

/// A worker that has polled, so that it counted as spinning, and retires after the task it then found. The other one is
/// asleep.
class RetiringSpinner : public Scene {
 public:
  ~RetiringSpinner() override {
    board().gate.store(1);
    board().counters[kGo].store(1);
  }

  std::unique_ptr<TracedProcess> begin() override {
    board().gate.store(0);
    for (auto& counter : board().counters) counter.store(0);
    open_.emplace(pool_options(2, 100us, 2));
    // Whoever finds a task while it polls goes on counting as spinning, and there can be but one.
    await([&] { return open_->is_asleep(0) && open_->is_asleep(1); }, "the workers' sleep");
    const auto held = open_->pool.submit(hold, 0);
    await([] { return board().counters[kHeld].load() != 0; }, "the other worker");
    const unsigned index = open_->is_asleep(0) ? 0 : 1;
    record_ = &open_->memory.worker_records[index];
    const auto before = open_->pool.submit(first_task, std::size_t{10});
    await([] { return board().counters[kReady].load() != 0; }, "the task before");
    auto worker = std::make_unique<TracedProcess>(open_->pid_of(index));
    board().counters[kGo].store(1);
    worker->run_to_marker();
    if (!spinning_) spinning_ = place_of_spinning(*worker, *open_, index);
    else if (worker->run_to(*spinning_) != Stop::arrived) throw std::runtime_error("the worker does not spin");
    last_ = open_->pool.submit(first_task, std::size_t{10});
    last_at_ = open_->last_position();
    worker->run_to_marker();
    board().gate.store(1);
    await([&] { return open_->is_asleep(1 - index); }, "the other worker's sleep");
    EXPECT_EQ(open_->memory.control->idlers[0].spinning.load(), std::uint64_t{1} << index) << "the scene is another";
    return worker;
  }

  void act(TracedProcess& worker) override {
    const bool retires = !worker.is_over() && record_->retiring.load() != 0;
    last_tag_ = open_->tag_at(last_at_);
    next_ = open_->pool.submit(square, 3);
    if (retires) {
      EXPECT_EQ(end_of(next_, 9), "value") << "left to a worker that looks no more, beside one that is asleep";
    }
    pid_ = worker.pid();
    worker.kill();
  }

  void settle(bool acted) override {
    if (!next_.valid()) next_ = open_->pool.submit(square, 3);
    EXPECT_EQ(end_of(next_, 9), "value");
    EXPECT_EQ(end_of(last_, text(10), pid_), acted && last_tag_ == Tag::running ? "died" : "value");
    next_ = {};
    last_ = {};
    expect_well(*open_);
    open_.reset();
  }

 private:
  std::optional<OpenPool> open_;
  retinue::detail::WorkerRecord* record_ = nullptr;
  std::optional<Place> spinning_;
  Future<std::string> last_;
  Future<int> next_;
  std::uint64_t last_at_ = 0;
  pid_t pid_ = 0;
  Tag last_tag_{};
};

TEST(WorkerLeaveSteps, a_task_that_comes_anywhere_while_a_worker_retires_is_not_left_to_it) {
  SKIP_WITHOUT_STEPS();
  RetiringSpinner scene;
  act_at_every_place(scene, "retiring, after it polled", {"finish", "stop_spinning"});
}

/// The only worker of a pool that is shut down while its last task ends.
class ShuttingDown : public Leaving {
 public:
  ShuttingDown() : Leaving(1, 0) {}

  std::unique_ptr<TracedProcess> begin() override {
    auto worker = Leaving::begin();
    shutdown_.emplace([this] { open_->pool.shutdown(); });
    await([&] { return (open_->state_at(ending_at_) & SlotState::kRingOwner) != 0; }, "the wait for the last task");
    return worker;
  }
  void settle(bool acted) override {
    expect_ending(acted);
    shutdown_.reset();
    EXPECT_TRUE(is_gone(victim_));
    EXPECT_TRUE(open_->pool.worker_pids().empty());
    open_.reset();
    EXPECT_EQ(retinue::shared_memory_usage().blocks, 0u);
  }

 private:
  std::optional<BesideThread> shutdown_;
};

TEST(WorkerLeaveSteps, killed_anywhere_in_a_shutdown_the_pool_ends) {
  SKIP_WITHOUT_STEPS();
  ShuttingDown scene;
  act_at_every_place(scene, "shut down", {"finish", "ring_owner", "leave"});
}

}  // namespace worker_leave_steps_test
