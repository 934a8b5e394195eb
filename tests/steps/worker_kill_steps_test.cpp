// The fork server is stopped, so that nobody can kill the worker whose task is cancelled by force or runs out of time.
// The worker stands at each instruction of its way out of the task when that happens, goes on, ends the task, and must
// claim nothing more. Once the fork server goes on, the worker is replaced.
#include "every_place.hpp"
#include "processes/loading_limit.hpp"

namespace worker_kill_steps_test {

using namespace retinue_test;

/// From the end of a task to the beginning of the next, while the other worker is busy.
class MarkedForKill : public OneFreeWorker {
 public:
  explicit MarkedForKill(bool watched) : OneFreeWorker(pool_options(2, 0ns)), watched_(watched) {
    const auto servers = fork_servers_of(::getpid());
    if (servers.size() != 1) throw std::runtime_error("which is the fork server?");
    server_ = servers.front();
  }
  ~MarkedForKill() override { ::kill(server_, SIGCONT); }

  std::unique_ptr<TracedProcess> begin() override {
    hold_one();
    marked_for_kill_ = false;
    called_.store(0);
    ::kill(server_, SIGSTOP);
    await([&] { return process_info(server_).state == 'T'; }, "the fork server's stop");
    ending_ = open_.pool.with(options_).submit(first_task, std::size_t{10});
    ending_at_ = open_.last_position();
    next_ = open_.pool.submit(next_task, std::size_t{10});
    next_at_ = open_.last_position();
    await([] { return board().counters[kReady].load() != 0; }, "the task that ends");
    if (watched_) {
      ending_.on_done([this](const auto&) { called_.fetch_add(1); });
      waiter_.emplace([this] { seen_ = end_of(ending_, text(10)); });
      // Its request for a ring says that it is about to sleep.
      await([&] { return (open_.state_at(ending_at_) & SlotState::kRingOwner) != 0; }, "a thread that sleeps in get()");
    }
    auto worker = std::make_unique<TracedProcess>(free_);
    board().counters[kGo].store(1);
    worker->run_to_marker();
    return worker;
  }

  void act(TracedProcess& worker) override {
    marked_for_kill_ = mark_for_kill();
    worker.detach();
    if (marked_for_kill_) {
      EXPECT_EQ(ending_.wait_for(kSoon), retinue::FutureStatus::ready) << "its worker has ended it";
      waiter_.reset();
      EXPECT_TRUE(!watched_ || eventually([&] { return called_.load() == 1; })) << "the callback is pending";
      await([&] { return process_info(free_).state == 'S'; }, "the worker's wait for its death");
      EXPECT_EQ(open_.tag_at(next_at_), Tag::ready) << "a worker marked for kill claims nothing";
    }
    ::kill(server_, SIGCONT);
    EXPECT_TRUE(!marked_for_kill_ || eventually([&] { return is_gone(free_); })) << "it is killed all the same";
  }

  void settle(bool) override {
    const std::string expected = marked_for_kill_ ? stopped_as_ : "value";
    EXPECT_EQ(end_of(ending_, text(10)), expected);
    waiter_.reset();
    if (watched_) {
      EXPECT_EQ(seen_, expected);
    }
    EXPECT_EQ(end_of(next_, text(10)), "value");
    EXPECT_TRUE(!watched_ || eventually([&] { return called_.load() == 1; }));
    release();
    ending_ = {};
    next_ = {};
    expect_well(open_);
  }

 protected:
  /// The worker stands. True if its task is marked for kill afterwards, or was when it ended.
  virtual bool mark_for_kill() {
    const bool running = ending_tag() == Tag::running;
    EXPECT_EQ(ending_.cancel(true), running);
    return running;
  }

  Tag ending_tag() const { return open_.tag_at(ending_at_); }

  retinue::TaskOptions options_;
  const char* stopped_as_ = "cancelled";
  Future<std::string> ending_;

 private:
  const bool watched_;
  pid_t server_ = 0;
  Future<std::string> next_;
  std::uint64_t ending_at_ = 0, next_at_ = 0;
  bool marked_for_kill_ = false;
  std::string seen_;
  std::atomic<int> called_{0};
  std::optional<BesideThread> waiter_;
};

TEST(WorkerKillSteps, a_worker_marked_for_kill_claims_nothing_wherever_it_stood) {
  SKIP_WITHOUT_STEPS();
  MarkedForKill scene(false);
  act_at_every_place(scene, "marked for kill", {"finish"});
}

TEST(WorkerKillSteps, a_thread_that_waits_for_a_task_cancelled_by_force_is_woken_wherever_the_worker_stood) {
  SKIP_WITHOUT_STEPS();
  MarkedForKill scene(true);
  act_at_every_place(scene, "marked for kill and waited for", {"finish", "ring_owner", "ring_service"});
}

/// It has little time.
class OutOfTime : public MarkedForKill {
 public:
  OutOfTime() : MarkedForKill(true) {
    stopped_as_ = "timed out";
    options_.timeout = kForAWalk;
    retinue::detail::set_least_loading_limit(0ns);  // wherever it stands
  }
  void walks_are_over() override { options_.timeout = kMin; }

 protected:
  bool mark_for_kill() override {
    const bool stood = ending_tag() == Tag::running;
    EXPECT_TRUE(eventually([&] { return ending_tag() != Tag::running; })) << "only the clock can end it";
    if (ending_tag() != Tag::done) {
      if (stood) options_.timeout = std::max<std::chrono::nanoseconds>(*options_.timeout / 2, kMin);
      return true;
    }
    // On a busy machine time may be up before the worker comes to its place.
    if (end_of(ending_, text(10)) != stopped_as_) return false;
    *options_.timeout *= 2;
    return true;
  }

 private:
  static constexpr std::chrono::nanoseconds kForAWalk = 500ms, kMin = 5ms;
};

TEST(WorkerKillSteps, a_thread_that_waits_for_a_task_out_of_time_is_woken_wherever_the_worker_stood) {
  SKIP_WITHOUT_STEPS();
  OutOfTime scene;
  act_at_every_place(scene, "out of time", {"finish", "ring_owner", "ring_service"});
}

}  // namespace worker_kill_steps_test
