// Process pools whose fork server is stopped for a while: nobody can be killed, reaped or replaced meanwhile. Tasks
// are stopped by force at random moments around that, and pools end in each way.
#include <chrono>
#include <deque>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "pool_tasks.hpp"
#include "random_blocks.hpp"

namespace process_pool_stopped_server_test {

using namespace retinue_test;
using retinue::Future;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;

std::uint64_t compute(std::chrono::microseconds time) {
  const auto end = Clock::now() + time;
  std::uint64_t rounds = 0;
  while (Clock::now() < end) ++rounds;
  return rounds + 1;
}
std::uint64_t never_end() {
  for (;;) nap(1s);
}

/// How a task ended, in a word; the pool's end is that of tasks that ran then.
std::string end_of(const Future<std::uint64_t>& task) {
  if (task.wait_for(kSoon) != retinue::FutureStatus::ready) return "never";
  try {
    return task.get() != 0 ? "value" : "another value";
  } catch (const retinue::Cancelled&) {
    return "cancelled";
  } catch (const retinue::TaskTimeout&) {
    return "timed out";
  } catch (const retinue::WorkerDied& e) {
    return e.signal() == SIGKILL ? "died" : e.what();
  } catch (const retinue::PoolClosed&) {
    return "closed";
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// A pool, its fork server, and what was submitted.
class Round {
 public:
  explicit Round(Random& random) : random_(random) {
    ProcessPoolOptions options;
    options.workers = 1 + static_cast<unsigned>(random() % 3);
    options.spin = one_in(random, 2) ? 0us : 100us;
    pool_.emplace(options);
    const auto servers = fork_servers_of(::getpid());
    if (servers.size() != 1) throw std::runtime_error("which is the fork server?");
    server_ = servers.front();
  }
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;
  ~Round() {
    ::kill(server_, SIGCONT);
    if (pool_) pool_->terminate();
    for (auto& thread : waiters_) thread.join();
  }

  void pause(unsigned longest_us) {
    const auto time = std::chrono::microseconds(random_() % longest_us);
    if (time > 20us) nap(time);
  }

  /// Some tasks, some of which nobody but the owner can end; some are watched by a callback, some by a thread.
  void submit() {
    const auto tasks = 1 + random_() % 6;
    for (unsigned i = 0; i < tasks; ++i) {
      Task& task = tasks_.emplace_back();
      task.endless = one_in(random_, 3);
      task.timed = one_in(random_, 4);
      const retinue::TaskOptions options{.timeout = std::chrono::microseconds(task.timed ? 500 + random_() % 3000 : 0)};
      task.future = task.endless ? pool_->with(options).submit(never_end)
                                 : pool_->with(options).submit(compute, std::chrono::microseconds(random_() % 400));
      if (one_in(random_, 2)) {
        ++callbacks_;
        task.future.on_done([this](const auto&) { called_.fetch_add(1); });
      }
      if (one_in(random_, 3)) waiters_.emplace_back([&task] { EXPECT_NE(end_of(task.future), "never"); });
    }
  }

  void stop_server() { ::kill(server_, SIGSTOP); }
  void go_on() { ::kill(server_, SIGCONT); }

  /// Cancels by force: each with a chance, or all that may not end by themselves.
  void cancel(bool all) {
    for (Task& task : tasks_)
      if (all ? task.endless && !task.timed : one_in(random_, 2)) {
        pause(150);
        task.cancelled = task.future.cancel(true) || task.cancelled;
      }
  }

  void expect_ends(bool terminated) {
    for (const Task& task : tasks_) {
      const std::string end = end_of(task.future);
      const bool right = (end == "value" && !task.endless) || (end == "cancelled" && (task.cancelled || terminated)) ||
                         (end == "timed out" && task.timed) || (end == "died" && terminated);
      EXPECT_TRUE(right) << end << (task.endless ? ", endless" : "") << (task.timed ? ", timed" : "")
                         << (task.cancelled ? ", cancelled" : "");
    }
    for (auto& thread : waiters_) thread.join();
    waiters_.clear();
    EXPECT_TRUE(eventually([&] { return called_.load() == callbacks_; }));
    tasks_.clear();
  }

  void expect_well() {
    EXPECT_EQ(pool_->submit(square, 5).get(), 25);
    EXPECT_TRUE(eventually([&] { return pool_->stats().workers_alive == pool_->workers(); }));
  }

  ProcessPool& pool() { return *pool_; }
  void destroy() { pool_.reset(); }

 private:
  struct Task {
    Future<std::uint64_t> future;
    bool endless = false, timed = false, cancelled = false;
  };

  Random& random_;
  std::optional<ProcessPool> pool_;
  pid_t server_ = 0;
  std::deque<Task> tasks_;
  std::vector<std::thread> waiters_;
  std::atomic<int> called_{0};
  int callbacks_ = 0;
};

unsigned rounds(unsigned usual) {
  const char* const given = std::getenv("RETINUE_TEST_ROUNDS");
  return given != nullptr ? static_cast<unsigned>(std::atoi(given)) : usual / kSlowdown;
}

TEST(ProcessPoolStoppedServer, tasks_stopped_by_force_end_whenever_it_is_stopped) {
  const std::uint64_t seed = random_seed();
  SCOPED_TRACE(describe(seed));
  Random random(seed);
  for (unsigned n = rounds(20); n-- > 0 && !HasFailure();) {
    Round round(random);
    for (int turn = 0; turn < 5; ++turn) {
      round.submit();
      round.pause(500);
      round.stop_server();
      round.pause(300);
      round.cancel(false);
      round.pause(2000);
      if (one_in(random, 2)) round.submit();
      round.cancel(true);
      round.pause(2000);
      round.go_on();
      round.expect_ends(false);
    }
    round.expect_well();
  }
}

TEST(ProcessPoolStoppedServer, a_pool_ends_in_each_way_while_it_is_stopped) {
  const std::uint64_t seed = random_seed();
  SCOPED_TRACE(describe(seed));
  Random random(seed);
  for (unsigned n = rounds(80); n-- > 0 && !HasFailure();) {
    Round round(random);
    round.submit();
    round.pause(500);
    round.stop_server();
    round.pause(300);
    const auto way = random() % 4;
    if (one_in(random, 2)) round.cancel(false);
    if (way != 0) round.cancel(true);  // else the pool would wait for them
    const auto still = std::chrono::microseconds(random() % 4000);
    std::thread later([&round, still] {
      nap(still);
      round.go_on();
    });
    switch (way) {
      case 0: round.pool().terminate(); break;
      case 1: round.pool().shutdown(); break;
      case 2: round.pool().shutdown(true); break;
      default: round.destroy(); break;
    }
    later.join();
    round.expect_ends(way == 0 || way == 2);
  }
}

// They go on side by side, since all wait for some seconds.
TEST(ProcessPoolStoppedServer, what_waits_for_it_ends_also_if_it_never_resumes) {
  const auto endless = [] {
    board().at_gate.fetch_add(1);
    return never_end();
  };
  ProcessPool terminated(2), shut_down(2), open(2);
  const auto running = terminated.submit(endless);
  const auto doomed = shut_down.submit(endless), cancelled = open.submit(endless);
  EXPECT_TRUE(eventually([] { return board().at_gate.load() == 3; }));
  for (const pid_t server : fork_servers_of(::getpid())) ::kill(server, SIGSTOP);
  EXPECT_TRUE(doomed.cancel(true));
  EXPECT_TRUE(cancelled.cancel(true));
  const auto late = open.with({.timeout = 10ms}).submit(never_end);
  std::thread terminator([&] { terminated.terminate(); }), closer([&] { shut_down.shutdown(); });
  EXPECT_EQ(end_of(running), "closed");
  EXPECT_EQ(end_of(doomed), "cancelled");
  EXPECT_EQ(end_of(cancelled), "cancelled");
  EXPECT_EQ(end_of(late), "timed out");
  terminator.join();
  closer.join();
  const auto refused = thrown_by<retinue::PoolClosed>([&] { open.submit(square, 2); });
  ASSERT_TRUE(refused);
  EXPECT_NE(std::string(refused->what()).find("was stopped"), std::string::npos) << refused->what();
}

TEST(ProcessPoolStoppedServer, a_task_behind_workers_that_retired_ends_also_if_it_never_resumes) {
  ProcessPoolOptions options;
  options.workers = 1;
  options.max_tasks_per_worker = 1;
  ProcessPool pool(options);
  const auto last = pool.submit([] { board().pass_gate(); });
  const auto behind = pool.submit(compute, 1us);
  EXPECT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
  for (const pid_t server : fork_servers_of(::getpid())) ::kill(server, SIGSTOP);
  board().gate.store(1);
  EXPECT_NO_THROW(last.get());
  EXPECT_EQ(end_of(behind), "closed");
}

TEST(ProcessPoolStoppedServer, it_may_be_stopped_for_a_moment) {
  ProcessPool pool(2);
  const pid_t server = fork_servers_of(::getpid()).at(0);
  const auto cancelled = pool.submit([] {
    board().at_gate.fetch_add(1);
    return never_end();
  });
  EXPECT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
  ::kill(server, SIGSTOP);
  EXPECT_TRUE(cancelled.cancel(true));
  EXPECT_EQ(cancelled.wait_for(2500ms), retinue::FutureStatus::timeout);
  ::kill(server, SIGCONT);
  EXPECT_EQ(end_of(cancelled), "cancelled");
  EXPECT_EQ(pool.submit(square, 5).get(), 25);
}

TEST(ProcessPoolStoppedServer, no_task_waits_for_a_worker_that_is_to_be_killed) {
  for (int n = 0; n < 20 && !HasFailure(); ++n) {
    ProcessPoolOptions options;
    options.workers = 2;
    options.spin = 1ms;
    ProcessPool pool(options);
    const pid_t server = fork_servers_of(::getpid()).at(0);
    // Tasks in a row, so that the worker of the last one counts as polling.
    for (int i = 0; i < 20; ++i) pool.submit(square, i).get();
    board().gate.store(0);
    board().at_gate.store(0);
    const auto doomed = pool.submit([] { board().pass_gate(); });
    EXPECT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
    nap(5ms);  // the other worker goes to sleep
    ::kill(server, SIGSTOP);
    EXPECT_TRUE(doomed.cancel(true));
    board().gate.store(1);
    EXPECT_THROW(doomed.get(), retinue::Cancelled);
    const auto after = pool.submit(square, 3);
    EXPECT_EQ(after.wait_for(kSoon), retinue::FutureStatus::ready) << "the other worker is asleep and nobody rang";
    ::kill(server, SIGCONT);
    EXPECT_EQ(after.get(), 9);
  }
}

}  // namespace process_pool_stopped_server_test
