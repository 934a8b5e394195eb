// Who is notified of a process's death, in which order, and how often.
#include <atomic>
#include <chrono>
#include <csignal>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include <retinue/error.hpp>
#include <retinue/process_pool.hpp>

#include "family/liveness.hpp"
#include "pool_tasks.hpp"

namespace liveness_test {

using namespace std::chrono_literals;
using retinue::detail::DeathNotice;
using retinue::detail::Liveness;
using retinue::detail::ProcessDeath;

DeathNotice death_of(pid_t pid) { return DeathNotice({.pid = pid, .signal = SIGKILL}); }

TEST(Liveness, subscribers_hear_in_the_order_in_which_they_have_subscribed) {
  Liveness liveness;
  std::string heard;
  const auto first = liveness.subscribe([&](const ProcessDeath& death) { heard += "a" + std::to_string(death.pid); });
  const auto second =
      liveness.subscribe([&](const ProcessDeath& death) { heard += "b" + std::to_string(death.signal); });
  DeathNotice notice = death_of(7);
  EXPECT_TRUE(liveness.notify(notice));
  EXPECT_EQ(heard, "a7b9");
  EXPECT_TRUE(liveness.notify(notice));
  EXPECT_EQ(heard, "a7b9") << "all were notified";
}

TEST(Liveness, a_callback_may_end_its_own_subscription_and_another) {
  Liveness liveness;
  std::string heard;
  Liveness::Subscription first, second, third;
  first = liveness.subscribe([&](const ProcessDeath&) {
    heard += "a";
    first.end();
    second.end();
  });
  second = liveness.subscribe([&](const ProcessDeath&) { heard += "b"; });
  third = liveness.subscribe([&](const ProcessDeath&) { heard += "c"; });
  for (int i = 0; i < 2; ++i) {
    DeathNotice notice = death_of(1);
    EXPECT_TRUE(liveness.notify(notice));
  }
  EXPECT_EQ(heard, "acc");
}

TEST(Liveness, a_callback_that_ends_its_own_subscription_keeps_what_it_holds_until_it_returns) {
  Liveness liveness;
  const auto held = std::make_shared<int>(5);
  Liveness::Subscription own;
  int seen = 0;
  own = liveness.subscribe([&own, &seen, mine = held](const ProcessDeath&) {
    own.end();
    seen = *mine + static_cast<int>(mine.use_count());
  });
  DeathNotice notice = death_of(1);
  EXPECT_TRUE(liveness.notify(notice));
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(Liveness, who_subscribes_in_a_call_hears_of_the_next_death) {
  Liveness liveness;
  std::vector<pid_t> heard;
  Liveness::Subscription late;
  const auto first = liveness.subscribe([&](const ProcessDeath& death) {
    if (death.pid == 1) late = liveness.subscribe([&](const ProcessDeath& later) { heard.push_back(later.pid); });
  });
  for (pid_t pid = 1; pid <= 3; ++pid) {
    DeathNotice notice = death_of(pid);
    EXPECT_TRUE(liveness.notify(notice));
  }
  EXPECT_EQ(heard, (std::vector<pid_t>{2, 3}));
}

TEST(Liveness, who_had_no_memory_hears_again_and_nobody_hears_twice) {
  Liveness liveness;
  std::string heard;
  int attempts = 0;
  const auto first = liveness.subscribe([&](const ProcessDeath&) { heard += "a"; });
  const auto second = liveness.subscribe([&](const ProcessDeath&) {
    if (++attempts < 3) throw std::bad_alloc();
    heard += "b";
  });
  const auto third = liveness.subscribe([&](const ProcessDeath&) {
    heard += "c";
    throw std::runtime_error("dropped");
  });
  const auto fourth = liveness.subscribe([&](const ProcessDeath&) { heard += "d"; });
  DeathNotice notice = death_of(1);
  EXPECT_FALSE(liveness.notify(notice));
  EXPECT_FALSE(liveness.notify(notice));
  EXPECT_EQ(heard, "a");
  EXPECT_TRUE(liveness.notify(notice));
  EXPECT_EQ(heard, "abcd");
}

TEST(Liveness, a_subscription_that_has_ended_is_not_running_in_another_thread) {
  Liveness liveness;
  std::atomic<bool> stop{false};
  std::vector<std::thread> publishers;
  for (int i = 0; i < 2; ++i)
    publishers.emplace_back([&] {
      while (!stop) {
        DeathNotice notice = death_of(1);
        EXPECT_TRUE(liveness.notify(notice));
      }
    });
  std::atomic<int> heard{0};
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  for (int round = 0; round < 50; ++round) {
    auto alive = std::make_unique<std::atomic<int>>(0);
    auto subscription = liveness.subscribe([&heard, word = alive.get()](const ProcessDeath&) {
      ++*word;
      ++heard;
    });
    while (*alive == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    EXPECT_GT(*alive, 0);
    subscription.end();
    alive.reset();  // a sanitizer sees who would still use it
  }
  stop = true;
  for (auto& publisher : publishers) publisher.join();
  EXPECT_GE(heard, 50);
}

TEST(Liveness, a_forked_child_has_none_of_its_parents_subscriptions) {
  Liveness& liveness = Liveness::of_this_process();
  int heard = 0;
  auto subscription = liveness.subscribe([&](const ProcessDeath&) { ++heard; });
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    DeathNotice notice = death_of(1);
    int wrong = liveness.notify(notice) && heard == 0 ? 0 : 1;
    try {
      (void)liveness.subscribe([](const ProcessDeath&) {});
      wrong |= 2;
    } catch (const retinue::Error&) {
    }
    subscription.end();
    Liveness& own = Liveness::of_this_process();
    const auto mine = own.subscribe([&](const ProcessDeath&) { ++heard; });
    DeathNotice another = death_of(2);
    if (&own == &liveness || !own.notify(another) || heard != 1) wrong |= 4;
    _exit(wrong);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(heard, 0);
}

/// Deaths of which one subscriber was notified.
class Subscriber {
 public:
  Subscriber()
      : subscription_(Liveness::of_this_process().subscribe([this](const ProcessDeath& death) {
          const std::lock_guard lock(mutex_);
          deaths_.push_back(death);
        })) {}
  std::vector<ProcessDeath> of(pid_t pid) {
    const std::lock_guard lock(mutex_);
    std::vector<ProcessDeath> found;
    for (const ProcessDeath& death : deaths_)
      if (death.pid == pid) found.push_back(death);
    return found;
  }

 private:
  std::mutex mutex_;
  std::vector<ProcessDeath> deaths_;
  Liveness::Subscription subscription_;
};

TEST(Liveness, the_death_of_a_worker_reaches_two_subscribers_once) {
  Subscriber one, two;
  retinue::ProcessPool pool(2);
  const std::vector<pid_t> pids = pool.worker_pids();
  ASSERT_EQ(pids.size(), 2u);
  ASSERT_EQ(kill(pids[1], SIGKILL), 0);
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while ((one.of(pids[1]).empty() || two.of(pids[1]).empty()) && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(1ms);
  EXPECT_EQ(pool.submit([] { return 3; }).get(), 3);
  EXPECT_TRUE(one.of(pids[0]).empty()) << "it lives";
  pool.shutdown();
  for (Subscriber* heard : {&one, &two}) {
    const auto deaths = heard->of(pids[1]);
    ASSERT_EQ(deaths.size(), 1u);
    EXPECT_EQ(deaths[0].signal, SIGKILL);
    EXPECT_EQ(deaths[0].exit_code, -1);
    EXPECT_EQ(deaths[0].worker, 1u);
    EXPECT_FALSE(deaths[0].left);
    ASSERT_EQ(heard->of(pids[0]).size(), 1u) << "it left with its pool";
    EXPECT_EQ(heard->of(pids[0])[0].signal, 0);
    EXPECT_EQ(heard->of(pids[0])[0].exit_code, 0);
    EXPECT_TRUE(heard->of(pids[0])[0].left);
  }
}

TEST(Liveness, of_a_terminated_pool_only_who_ran_a_task_or_does_not_leave_was_killed) {
  Subscriber subscriber;
  retinue::ProcessPool pool(3);
  const std::vector<pid_t> pids = pool.worker_pids();
  ASSERT_EQ(pids.size(), 3u);
  auto& runs = retinue_test::board().counters[0];
  auto busy = pool.submit([] {
    retinue_test::board().counters[0] = getpid();
    std::this_thread::sleep_for(600s);
  });
  ASSERT_TRUE(retinue_test::eventually([&] { return runs != 0; }));
  pid_t stopped = 0;
  for (const pid_t pid : pids)
    if (pid != runs) stopped = pid;
  ASSERT_EQ(kill(stopped, SIGSTOP), 0);
  pool.terminate();
  EXPECT_THROW(busy.get(), retinue::WorkerDied);
  for (const pid_t pid : pids) {
    const auto found = subscriber.of(pid);
    ASSERT_EQ(found.size(), 1u);
    const bool is_killed = pid == runs || pid == stopped;
    EXPECT_EQ(found[0].signal, is_killed ? SIGKILL : 0);
    EXPECT_TRUE(is_killed || found[0].exit_code == 0);
  }
}

TEST(Liveness, a_subscriber_may_use_the_pool_whose_worker_has_died) {
  retinue::ProcessPool pool(1);
  const pid_t first = pool.worker_pids().at(0);
  std::atomic<int> result{0};
  const auto subscription = Liveness::of_this_process().subscribe([&](const ProcessDeath& death) {
    if (death.pid == first && death.signal != 0) result = pool.submit([] { return 11; }).get();
  });
  auto doomed = pool.submit([] { raise(SIGKILL); });
  EXPECT_THROW(doomed.get(), retinue::WorkerDied);
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (result == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(result, 11);
}

}  // namespace liveness_test
