// The fork server is stopped, so that nobody can kill the worker whose task is cancelled by force or runs out of time.
// The worker stands at each instruction of its way out of the task when that happens, goes on, ends the task, and must
// claim nothing more. Once the fork server goes on, the worker is replaced.
#include "every_place.hpp"
#include "processes/loading_limit.hpp"

namespace worker_condemned_steps_test {

using namespace retinue_test;

/// From the end of a task to the beginning of the next, while the other worker is busy.
class Condemned : public OneFreeWorker {
 public:
  explicit Condemned(bool watched) : OneFreeWorker(pool_options(2, 0ns)), watched_(watched) {
    const auto servers = fork_servers_of(::getpid());
    if (servers.size() != 1) throw std::runtime_error("which is the fork server?");
    server_ = servers.front();
  }
  ~Condemned() override { ::kill(server_, SIGCONT); }

  std::unique_ptr<TracedProcess> begin() override {
    hold_one();
    condemned_ = false;
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
      // Its mark says that it is about to sleep.
      await([&] { return (open_.state_at(ending_at_) & State::kRingOwner) != 0; }, "a thread that sleeps in get()");
    }
    auto worker = std::make_unique<TracedProcess>(free_);
    board().counters[kGo].store(1);
    worker->run_to_marker();
    return worker;
  }

  void act(TracedProcess& worker) override {
    condemned_ = condemn();
    worker.let_go();
    if (condemned_) {
      EXPECT_EQ(ending_.wait_for(kSoon), retinue::FutureStatus::ready) << "its worker has ended it";
      waiter_.reset();
      EXPECT_TRUE(!watched_ || eventually([&] { return called_.load() == 1; })) << "the callback is owed";
      await([&] { return process_info(free_).state == 'S'; }, "the worker's wait for its death");
      EXPECT_EQ(open_.tag_at(next_at_), Tag::ready) << "a condemned worker claims nothing";
    }
    ::kill(server_, SIGCONT);
    EXPECT_TRUE(!condemned_ || eventually([&] { return is_gone(free_); })) << "it is killed all the same";
  }

  void settle(bool) override {
    const std::string expected = condemned_ ? stopped_as_ : "value";
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
  /// The worker stands. True if its task is condemned afterwards, or was when it ended.
  virtual bool condemn() {
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
  bool condemned_ = false;
  std::string seen_;
  std::atomic<int> called_{0};
  std::optional<Aside> waiter_;
};

TEST(WorkerCondemnedSteps, who_was_cancelled_by_force_claims_nothing_wherever_it_stood) {
  SKIP_WITHOUT_STEPS();
  Condemned scene(false);
  act_at_every_place(scene, "condemned", {"finish"});
}

TEST(WorkerCondemnedSteps, who_waits_for_a_task_cancelled_by_force_is_rung_wherever_its_worker_stood) {
  SKIP_WITHOUT_STEPS();
  Condemned scene(true);
  act_at_every_place(scene, "condemned and waited for", {"finish", "ring_owner", "ring_service"});
}

/// It has little time.
class OutOfTime : public Condemned {
 public:
  OutOfTime() : Condemned(true) {
    stopped_as_ = "timed out";
    options_.timeout = kForAWalk;
    retinue::detail::set_least_loading_limit(0ns);  // wherever it stands
  }
  void walks_are_over() override { options_.timeout = kLeast; }

 protected:
  bool condemn() override {
    const bool stood = ending_tag() == Tag::running;
    EXPECT_TRUE(eventually([&] { return ending_tag() != Tag::running; })) << "only the clock can end it";
    if (ending_tag() != Tag::done) {
      if (stood) options_.timeout = std::max<std::chrono::nanoseconds>(*options_.timeout / 2, kLeast);
      return true;
    }
    // On a busy machine time may be up before the worker comes to its place.
    if (end_of(ending_, text(10)) != stopped_as_) return false;
    *options_.timeout *= 2;
    return true;
  }

 private:
  static constexpr std::chrono::nanoseconds kForAWalk = 500ms, kLeast = 5ms;
};

TEST(WorkerCondemnedSteps, who_waits_for_a_task_out_of_time_is_rung_wherever_its_worker_stood) {
  SKIP_WITHOUT_STEPS();
  OutOfTime scene;
  act_at_every_place(scene, "out of time", {"finish", "ring_owner", "ring_service"});
}

}  // namespace worker_condemned_steps_test
