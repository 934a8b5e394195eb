// A worker is killed at every instruction of the ways it takes between two tasks; the pool recovers.
#include "every_place.hpp"

namespace worker_steps_test {

using namespace retinue_test;

/// From the end of one task to the beginning of the next, while the other worker is busy.
class FinishAndClaim : public OneFreeWorker {
 public:
  struct Tasks {
    std::size_t bytes = 0;  ///< of the results
    retinue::TaskOptions options{};
    bool rings = false;   ///< a thread is asleep until the task ends, and a callback is pending
    unsigned before = 0;  ///< tasks of the same kind that the worker has run already
  };
  explicit FinishAndClaim(const Tasks& tasks) : OneFreeWorker(pool_options(2, 0ns)), tasks_(tasks) {}

  std::unique_ptr<TracedProcess> begin() override {
    hold_one();
    stats_ = open_.pool.stats();
    auto with_options = open_.pool.with(tasks_.options);
    for (unsigned i = 0; i < tasks_.before; ++i)
      EXPECT_EQ(end_of(open_.pool.submit(text, tasks_.bytes), text(tasks_.bytes)), "value");
    ending_ = with_options.submit(first_task, tasks_.bytes);
    ending_at_ = open_.last_position();
    next_ = with_options.submit(next_task, tasks_.bytes);
    next_at_ = open_.last_position();
    behind_ = open_.pool.submit(square, 3);
    await([] { return board().counters[kReady].load() != 0; }, "the task that ends");
    auto worker = std::make_unique<TracedProcess>(free_);
    if (tasks_.rings) {
      waiter_.emplace([&] { EXPECT_EQ(ending_.wait_for(2 * kSoon), retinue::FutureStatus::ready); });
      callbacks_.store(0);
      ending_.on_done([&](auto&) { callbacks_.fetch_add(1); });
      await([&] { return (open_.state_at(ending_at_) & SlotState::kRings) == SlotState::kRings; },
            "the requests for rings");
    }
    board().counters[kGo].store(1);
    worker->run_to_marker();
    before_.reset();
    return worker;
  }

  // What changes a slot must be what the model says.
  void look(const Place& place) override {
    const auto now = std::pair(open_.tag_at(ending_at_), open_.tag_at(next_at_));
    if (before_ && Transitions::all().have_lines()) {
      const auto& names = Transitions::all().at(last_.pc);
      EXPECT_TRUE(now.first == before_->first || names.contains("finish")) << std::hex << last_.pc;
      EXPECT_TRUE(now.second == before_->second || names.contains("claim")) << std::hex << last_.pc;
    }
    before_ = now;
    last_ = place;
  }

  void act(TracedProcess& worker) override {
    ending_tag_ = open_.tag_at(ending_at_);
    next_tag_ = open_.tag_at(next_at_);
    worker.kill();
  }

  void settle(bool killed) override {
    const auto after = open_.pool.submit(square, 4);
    release();
    waiter_.reset();
    const auto expected = [&](Tag tag) {
      return killed && tag == Tag::running && tasks_.options.retries.value_or(0) == 0 ? "died" : "value";
    };
    EXPECT_EQ(end_of(ending_, text(tasks_.bytes), free_), expected(ending_tag_));
    EXPECT_EQ(end_of(next_, text(tasks_.bytes), free_), expected(next_tag_));
    EXPECT_EQ(end_of(behind_, 9), "value");
    EXPECT_EQ(end_of(after, 16), "value");
    if (tasks_.rings) {
      EXPECT_TRUE(eventually([&] { return callbacks_.load() == 1; }));
    }
    ending_ = {};
    next_ = {};
    expect_well(open_);
    const bool repeated =
        killed && tasks_.options.retries.value_or(0) != 0 && (ending_tag_ == Tag::running || next_tag_ == Tag::running);
    EXPECT_TRUE(eventually([&] { return open_.pool.stats().workers_died == stats_.workers_died + (killed ? 1 : 0); }));
    EXPECT_EQ(open_.pool.stats().retried, stats_.retried + (repeated ? 1 : 0));
  }

 private:
  const Tasks tasks_;
  retinue::PoolStats stats_;
  Future<int> behind_;
  Future<std::string> ending_, next_;
  std::uint64_t ending_at_ = 0, next_at_ = 0;
  std::optional<BesideThread> waiter_;
  std::atomic<int> callbacks_{0};
  std::optional<std::pair<Tag, Tag>> before_;
  Place last_;
  Tag ending_tag_{}, next_tag_{};
};

TEST(WorkerSteps, killed_anywhere_between_two_tasks_costs_the_one_it_runs) {
  SKIP_WITHOUT_STEPS();
  FinishAndClaim scene({.bytes = 10});
  act_at_every_place(scene, "from task to task", {"finish", "claim"});
}

TEST(WorkerSteps, killed_anywhere_with_a_block_and_doorbells_to_ring_loses_neither) {
  SKIP_WITHOUT_STEPS();
  FinishAndClaim scene({.bytes = 1000, .options = {.timeout = 60s}, .rings = true});
  act_at_every_place(scene, "with a block and rings", {"finish", "ring_owner", "ring_service", "claim"});
}

TEST(WorkerSteps, killed_anywhere_between_two_tasks_with_retries_costs_none) {
  SKIP_WITHOUT_STEPS();
  FinishAndClaim scene({.bytes = 1000, .options = {.retries = 1}, .rings = true, .before = 2});
  act_at_every_place(scene, "with retries", {"finish", "ring_owner", "ring_service", "claim"});
}

}  // namespace worker_steps_test
