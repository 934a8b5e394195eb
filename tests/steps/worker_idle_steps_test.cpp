// A worker is killed, or only stopped for a while, at every instruction on its way to sleep and out of it: no task is
// left waiting beside an idle worker.
#include "every_place.hpp"

namespace worker_idle_steps_test {

using namespace retinue_test;
using Stop = TracedProcess::Stop;

/// From the end of a task, behind which there is none, until the worker is asleep.
class GoingIdle : public OneFreeWorker {
 public:
  enum class Act {
    kill,  ///< and then submit a task
    submit_and_kill,
    submit_and_go_on,
  };
  struct Others {
    bool busy = true;  ///< the other worker has a task to run; else it is asleep
  };
  GoingIdle(std::chrono::nanoseconds spin, Act act, Others others)
      : OneFreeWorker(pool_options(2, spin)), act_(act), others_(others) {}

  std::unique_ptr<TracedProcess> begin() override {
    hold_one();
    ending_ = open_.pool.submit(first_task, std::size_t{10});
    ending_at_ = open_.last_position();
    await([] { return board().counters[kReady].load() != 0; }, "the task that ends");
    auto worker = std::make_unique<TracedProcess>(free_);
    board().counters[kGo].store(1);
    worker->run_to_marker();
    if (!others_.busy) {
      release();
      await([&] { return open_.is_asleep(1 - worker_index_); }, "the other worker's sleep");
    }
    return worker;
  }

  void act(TracedProcess& worker) override {
    if (act_ != Act::kill) next_ = open_.pool.submit(square, 3);
    ending_tag_ = open_.tag_at(ending_at_);
    if (act_ == Act::submit_and_go_on) worker.detach();
    else worker.kill();
  }

  void settle(bool acted) override {
    if (!next_.valid()) next_ = open_.pool.submit(square, 3);
    EXPECT_EQ(end_of(next_, 9), "value") << "left beside an idle worker";
    const bool died = acted && act_ != Act::submit_and_go_on && ending_tag_ == Tag::running;
    EXPECT_EQ(end_of(ending_, text(10), free_), died ? "died" : "value");
    if (act_ == Act::submit_and_go_on) {  // the next one begins as a new worker, too
      ::kill(free_, SIGKILL);
      await([&] { return is_gone(free_); }, "the worker's end");
    }
    if (others_.busy) release();
    next_ = {};
    ending_ = {};
    expect_well(open_);
  }

 private:
  const Act act_;
  const Others others_;
  Future<std::string> ending_;
  Future<int> next_;
  std::uint64_t ending_at_ = 0;
  Tag ending_tag_{};
};

TEST(WorkerIdleSteps, killed_anywhere_on_its_way_to_sleep_leaves_no_task_behind) {
  SKIP_WITHOUT_STEPS();
  GoingIdle scene(0ns, GoingIdle::Act::kill, {.busy = true});
  act_at_every_place(scene, "to sleep", {"finish", "sleep"});
}

TEST(WorkerIdleSteps, killed_anywhere_between_polling_and_sleep_leaves_no_task_to_a_sleeper) {
  SKIP_WITHOUT_STEPS();
  GoingIdle scene(100us, GoingIdle::Act::submit_and_kill, {.busy = false});
  act_at_every_place(scene, "by polling to sleep", {"finish", "poll", "sleep", "stop_spinning"});
}

TEST(WorkerIdleSteps, a_task_submitted_anywhere_on_a_workers_way_to_sleep_is_seen_by_it) {
  SKIP_WITHOUT_STEPS();
  for (const auto spin : {0ns, 100'000ns}) {
    GoingIdle scene(spin, GoingIdle::Act::submit_and_go_on, {.busy = true});
    act_at_every_place(scene, spin == 0ns ? "to sleep, and on" : "by polling to sleep, and on", {"finish", "sleep"});
  }
}

/// From the futex to the first instruction of a task; a second one came at the same time.
class Woken : public Scene {
 public:
  explicit Woken(unsigned workers) : open_(pool_options(workers, 0ns)) {
    expect_well(open_);  // as before each later walk: a worker's first task takes a longer way
  }

  std::unique_ptr<TracedProcess> begin() override {
    board().gate.store(0);
    board().counters[kMet].store(0);
    await(
        [&] {
          for (unsigned i = 0; i < open_.memory.workers; ++i)
            if (!open_.is_asleep(i)) return false;
          return true;
        },
        "the workers' sleep");
    auto worker = std::make_unique<TracedProcess>(open_.pid_of(0));
    met_ = 0;
    batch_.emplace([this] {
      // Published in one go, so that who is woken has to wake the next.
      const std::vector<unsigned> each(2, open_.memory.workers);
      for (const bool met : open_.pool.with({.retries = 1}).map(meet, each)) met_ += met ? 1 : 0;
    });
    await([&] { return (open_.memory.control->idlers[0].asleep.load() & 1) == 0; }, "a ring");
    return worker;
  }

  void settle(bool) override {
    batch_.reset();
    EXPECT_EQ(met_, 2) << "of the two tasks";
    expect_well(open_);
  }

 private:
  OpenPool open_;
  std::optional<BesideThread> batch_;
  int met_ = 0;
};

TEST(WorkerIdleSteps, killed_anywhere_after_it_was_woken_the_task_is_run_and_the_next_worker_woken) {
  SKIP_WITHOUT_STEPS();
  Woken scene(2);
  act_at_every_place(scene, "woken", {"claim", "spread_work", "wake_one", "ring_worker"});
}

TEST(WorkerIdleSteps, killed_anywhere_after_it_was_woken_the_only_worker_is_replaced) {
  SKIP_WITHOUT_STEPS();
  Woken scene(1);
  act_at_every_place(scene, "woken alone", {"claim", "spread_work"});
}

/// From polling to the first instruction of a task, when nobody was woken because this worker would see it.
class Spinning : public OneFreeWorker {
 public:
  Spinning() : OneFreeWorker(pool_options(2, 100us)) {}

  std::unique_ptr<TracedProcess> begin() override {
    hold_one();
    const auto before = open_.pool.submit(first_task, std::size_t{10});
    await([] { return board().counters[kReady].load() != 0; }, "the task before");
    auto worker = std::make_unique<TracedProcess>(free_);
    board().counters[kGo].store(1);
    worker->run_to_marker();
    release();
    await([&] { return open_.is_asleep(1 - worker_index_); }, "the other worker's sleep");
    if (!spinning_) spinning_ = place_of_spinning(*worker, open_, worker_index_);
    else if (worker->run_to(*spinning_) != Stop::arrived) throw std::runtime_error("the worker does not spin");
    EXPECT_EQ(end_of(before, text(10)), "value");

    board().counters[kMet].store(0);
    met_ = 0;
    const std::uint64_t tail = open_.memory.control->tail.load();
    batch_.emplace([this] {
      const std::vector<unsigned> each(2, 2);
      for (const bool met : open_.pool.with({.retries = 1}).map(meet, each)) met_ += met ? 1 : 0;
    });
    await([&] { return open_.memory.control->tail.load() == tail + 2; }, "two tasks");
    return worker;
  }

  void settle(bool) override {
    batch_.reset();
    EXPECT_EQ(met_, 2) << "of the two tasks";
    expect_well(open_);
  }

 private:
  std::optional<Place> spinning_;
  std::optional<BesideThread> batch_;
  int met_ = 0;
};

TEST(WorkerIdleSteps, killed_anywhere_between_polling_and_a_task_it_leaves_no_task_to_a_sleeper) {
  SKIP_WITHOUT_STEPS();
  Spinning scene;
  act_at_every_place(scene, "by polling to a task",
                     {"claim", "spread_work", "stop_spinning", "somebody_spins", "wake_one", "ring_worker"});
}

}  // namespace worker_idle_steps_test
