// A worker is stopped at every instruction between two tasks, while the owner stops one of them: that works anywhere,
// and costs no other task.
#include <algorithm>
#include <set>

#include "every_place.hpp"
#include "processes/loading_limit.hpp"

namespace worker_stall_steps_test {

using namespace retinue_test;

/// From the end of one task to the beginning of the next, while the other worker is busy. Both may be stopped.
class Stalled : public OneFreeWorker {
 public:
  Stalled() : OneFreeWorker(pool_options(2, 0ns)) {}

  std::unique_ptr<TracedProcess> begin() override {
    hold_one();
    expected_ending_ = expected_next_ = {"value"};
    ending_ = open_.pool.with(ending_options_).submit(first_task, std::size_t{10});
    ending_at_ = open_.last_position();
    next_ = open_.pool.with(next_options_).submit(next_task, std::size_t{10});
    next_at_ = open_.last_position();
    await([] { return board().counters[kReady].load() != 0; }, "the task that ends");
    auto worker = std::make_unique<TracedProcess>(free_);
    board().counters[kGo].store(1);
    worker->run_to_marker();
    return worker;
  }

  void settle(bool) override {
    const auto after = open_.pool.submit(square, 4);
    EXPECT_EQ(end_of(after, 16), "value");
    for (const auto& [task, expected] : {std::pair(&ending_, &expected_ending_), std::pair(&next_, &expected_next_)}) {
      const std::string end = end_of(*task, text(10));
      EXPECT_TRUE(expected->contains(end)) << (task == &next_ ? "the next task: " : "the task that ended: ") << end;
    }
    release();
    ending_ = {};
    next_ = {};
    expect_well(open_);
  }

 protected:
  Tag ending_tag() const { return open_.tag_at(ending_at_); }
  Tag next_tag() const { return open_.tag_at(next_at_); }

  retinue::TaskOptions ending_options_, next_options_;
  Future<std::string> ending_, next_;
  std::uint64_t ending_at_ = 0, next_at_ = 0;
  std::set<std::string> expected_ending_, expected_next_;
};

class Cancelling : public Stalled {
 public:
  explicit Cancelling(bool next) : the_next_(next) {}

  void act(TracedProcess& worker) override {
    const Tag tag = the_next_ ? next_tag() : ending_tag();
    auto& task = the_next_ ? next_ : ending_;
    const bool cancelled = task.cancel(true);
    EXPECT_EQ(cancelled, tag != Tag::done);
    if (cancelled) (the_next_ ? expected_next_ : expected_ending_) = {"cancelled"};
    if (tag == Tag::running) worker.await_end();
    else worker.detach();
  }

 private:
  const bool the_next_;
};

TEST(WorkerStallSteps, a_task_can_be_cancelled_by_force_wherever_its_worker_stands) {
  SKIP_WITHOUT_STEPS();
  Cancelling scene(false);
  act_at_every_place(scene, "cancelling the task that ends", {"finish", "claim"});
}

TEST(WorkerStallSteps, the_task_behind_can_be_cancelled_by_force_wherever_the_worker_stands) {
  SKIP_WITHOUT_STEPS();
  Cancelling scene(true);
  act_at_every_place(scene, "cancelling the next task", {"finish", "claim"});
}

/// One of the tasks has little time.
class TimingOut : public Stalled {
 public:
  explicit TimingOut(bool next) : the_next_(next) {
    retinue::detail::set_least_loading_limit(std::chrono::nanoseconds(0));  // wherever it stands
    give(500ms);
  }

  void walks_are_over() override {
    least_ = 5ms;
    give(least_);
  }

  std::unique_ptr<TracedProcess> begin() override {
    for (;;) {
      began_ = Clock::now();
      try {
        return Stalled::begin();
      } catch (const TracedProcess::Ended&) {  // before it came to where the steps begin: on a busy machine
        expected_ending_ = {"timed out"};
        Stalled::settle(true);
        give(2 * time_);
      }
    }
  }

  void act(TracedProcess& worker) override {
    auto& expected = the_next_ ? expected_next_ : expected_ending_;
    const Tag tag = the_next_ ? next_tag() : ending_tag();
    if (worker.is_over()) {
      expected = {"timed out"};
      give(2 * time_);
    } else if (tag == Tag::running || tag == Tag::marked_for_kill) {  // it is stopped: only the clock can end this
      expected = {"timed out"};
      worker.await_end();
      give(std::max(least_, time_ / 2));
    } else {
      // It has ended in time, or will begin only now; on a busy machine neither is certain.
      if (the_next_ || Clock::now() - began_ >= time_) expected.insert("timed out");
      worker.detach();
    }
  }

 private:
  void give(std::chrono::milliseconds time) {
    time_ = time;
    (the_next_ ? next_options_ : ending_options_).timeout = time;
  }

  const bool the_next_;
  std::chrono::milliseconds time_{}, least_{500};
  Clock::time_point began_;
};

TEST(WorkerStallSteps, a_task_times_out_wherever_its_worker_stands) {
  SKIP_WITHOUT_STEPS();
  for (const bool next : {false, true}) {
    TimingOut scene(next);
    act_at_every_place(scene, next ? "timing out the next task" : "timing out the task that ends", {"finish", "claim"});
  }
}

}  // namespace worker_stall_steps_test
