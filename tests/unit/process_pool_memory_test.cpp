// Payloads of random sizes while workers are killed at random: every outcome is right, and all memory comes back.
#include "support/process_watch.hpp"

#include <algorithm>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <retinue/retinue.hpp>

#include "memory/region.hpp"
#include "random_blocks.hpp"

namespace process_pool_memory_test {

using namespace retinue_test;
using retinue::Cancelled;
using retinue::Future;
using retinue::ProcessPool;
using retinue::SharedArray;
using retinue::SharedSpan;
using retinue::WorkerDied;
using retinue::detail::Arena;
using retinue::detail::Region;
using retinue::detail::ReturnStack;

constexpr std::uint64_t kMiB = 1 << 20;

/// Mostly small, now and then up to 8 MiB.
std::uint64_t payload_size(Random& random) { return any_size(random, one_in(random, 20) ? 23 : 17); }

struct Ask {
  std::uint64_t mark, argument_bytes, result_bytes;

  static Ask of_any_size(Random& random) { return {random(), payload_size(random), payload_size(random)}; }
  std::string argument() const {
    std::string bytes(argument_bytes, '\0');
    fill(bytes.data(), argument_bytes, mark);
    return bytes;
  }
  bool is_answered_by(std::string_view result) const {
    return result.size() == result_bytes && is_filled(result.data(), result_bytes, mark + 1);
  }
};

/// The task. Along the way it uses shared memory of its worker's own and keeps some of it, for the worker to die with.
std::string answer(Ask ask, std::string_view argument) {
  static std::vector<SharedArray<char>> hoard;
  if (argument.size() != ask.argument_bytes || !is_filled(argument.data(), argument.size(), ask.mark))
    throw std::runtime_error("the argument is not what was sent");
  std::vector<SharedArray<char>> arrays;
  Random random(ask.mark);
  for (std::uint64_t mark = 0; mark < 5; ++mark) {
    arrays.emplace_back(payload_size(random));
    fill(arrays[mark].data(), arrays[mark].size(), mark);
  }
  std::string result(ask.result_bytes, '\0');
  fill(result.data(), result.size(), ask.mark + 1);
  for (std::uint64_t mark = 0; mark < 5; ++mark)
    if (!is_filled(arrays[mark].data(), arrays[mark].size(), mark))
      throw std::runtime_error("an array of the worker's has changed");
  if (one_in(random, 8)) hoard.push_back(take_out(arrays, random() % 5));
  if (hoard.size() > 8) take_out(hoard, random() % hoard.size());
  return result;
}

/// Kills one worker after the other at random moments, but never so fast that no task gets to its end.
class Killer {
 public:
  Killer(ProcessPool& pool, std::uint64_t seed) : thread_([this, &pool, seed] { kill_on(pool, seed); }) {}
  ~Killer() {
    over_ = true;
    thread_.join();
  }

 private:
  void kill_on(ProcessPool& pool, std::uint64_t seed) {
    Random random(seed);
    auto patience = 50ms;
    while (!over_.load()) {
      const std::uint64_t enough = pool.stats().finished + 1 + random() % 16;
      nap(std::chrono::microseconds((random() % 4000) * kPatience));
      const bool gets_on = eventually([&] { return over_.load() || pool.stats().finished >= enough; }, patience);
      patience = gets_on ? 50ms : std::min(2 * patience, 2000ms);
      const auto pids = pool.worker_pids();
      if (!pids.empty() && !over_.load()) ::kill(pids[random() % pids.size()], SIGKILL);
    }
  }

  std::atomic<bool> over_{false};
  std::thread thread_;
};

/// Tasks under way and results in the owner's hands.
class Storm {
 public:
  Storm(ProcessPool& pool, Random& random) : pool_(pool), random_(random) {}

  void step() {
    if (pending_.empty() || (pending_.size() < 100 && one_in(random_, 16))) {
      for (std::uint64_t n = 1 + random_() % 30; n > 0; --n) {
        const Ask ask = Ask::of_any_size(random_);
        const retinue::TaskOptions options{.retries = one_in(random_, 3) ? 2u : 0u};
        pending_.push_back({ask, pool_.with(options).submit(answer, ask, ask.argument())});
      }
    } else {
      Task task = take_out(pending_, random_() % pending_.size());
      if (one_in(random_, 4)) return;  // not wanted any more, wherever it is
      if (one_in(random_, 8)) task.cancelled = task.future.cancel(one_in(random_, 2));
      check(task);
      if (one_in(random_, 4)) kept_.push_back(std::move(task));
    }
    if (kept_.size() > 30) check(take_out(kept_, random_() % kept_.size()));
    if (one_in(random_, 200)) write_array();
    if (one_in(random_, 400)) map_some();
  }
  void check_all() {
    for (auto* tasks : {&pending_, &kept_})
      for (const Task& task : *tasks) check(task);
  }
  void drop_all() {
    pending_.clear();
    kept_.clear();
  }

  int answered = 0, died = 0;
  bool terminated = false;  ///< tasks may also end as those of a pool that was terminated do

 private:
  struct Task {
    Ask ask;
    Future<std::string> future;
    bool cancelled = false;
  };

  void check(const Task& task) {
    ASSERT_EQ(task.future.wait_for(kSoon), retinue::FutureStatus::ready);
    try {
      EXPECT_TRUE(task.ask.is_answered_by(task.future.get())) << "a result of " << task.ask.result_bytes << " bytes";
      EXPECT_FALSE(task.cancelled);
      ++answered;
    } catch (const WorkerDied& e) {
      EXPECT_EQ(e.signal(), SIGKILL);
      ++died;
    } catch (const Cancelled&) {
      EXPECT_TRUE(task.cancelled || terminated);
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
  }

  // An array of the owner's, made while workers are busy, which a task writes to and another one dies over.
  void write_array() {
    SharedArray<char> array(payload_size(random_));
    const std::uint64_t mark = random_();
    const auto write = [span = array.span(), mark](bool dies) {
      fill(span.data(), span.size(), mark);
      if (dies) std::raise(SIGKILL);
    };
    EXPECT_THROW(pool_.submit(write, true).get(), WorkerDied);
    pool_.with({.retries = 100}).submit(write, false).get();
    EXPECT_TRUE(is_filled(array.data(), array.size(), mark));
  }

  // A map, often left before its end.
  void map_some() {
    std::vector<Ask> asks;
    std::vector<std::string> arguments;
    for (int i = 0; i < 50; ++i) {
      asks.push_back(Ask::of_any_size(random_));
      arguments.push_back(asks.back().argument());
    }
    std::size_t left = random_() % 70;
    for (auto& outcome : pool_.with({.retries = 100}).map(answer, asks, arguments).outcomes()) {
      EXPECT_TRUE(asks[outcome.index()].is_answered_by(outcome.value()));
      if (left-- == 0) break;
    }
  }

  ProcessPool& pool_;
  Random& random_;
  std::vector<Task> pending_, kept_;
};

/// What must be as it was when all is over.
struct Memory {
  Region::Usage usage;
  std::uint64_t pages, arena_offset, arena_length;

  static Memory now() {
    Region& region = Region::of_this_process();
    region.trim();
    ReturnStack stack;
    Arena* arena = region.make_arena(&stack, 4);  // gets the first addresses that are free
    const auto extent = arena->extent();
    region.retire(arena);
    return {region.usage(), pages_of(region.memfd()), extent.offset, extent.length};
  }
  void expect_now() const {
    const Memory after = now();
    EXPECT_EQ(after.usage.blocks, usage.blocks);
    EXPECT_EQ(after.usage.owner_bytes, usage.owner_bytes);
    EXPECT_EQ(after.usage.result_bytes, usage.result_bytes);
    EXPECT_EQ(after.usage.warm_bytes, 0u);
    EXPECT_EQ(after.arena_offset, arena_offset) << "addresses are lost";
    EXPECT_EQ(after.arena_length, arena_length) << "addresses are lost";
    // The owner keeps chunks for small blocks, as many as it needed at the most: here about 2 MiB.
    EXPECT_LE(after.pages, pages + 8 * kMiB);
  }
};

enum class End { dropped, outlived, terminated };

void storm_that_ends(End end) {
  const std::uint64_t seed = random_seed();
  SCOPED_TRACE(describe(seed));
  Random random(seed);
  const Memory before = Memory::now();
  {
    std::optional<ProcessPool> pool(std::in_place, 4);
    Storm storm(*pool, random);
    {
      const Killer killer(*pool, random());
      for (int i = 0; i < 4000 / kSlowdown && !::testing::Test::HasFailure(); ++i) storm.step();
      if (end == End::dropped) storm.check_all();
    }
    const auto stats = pool->stats();
    EXPECT_GT(storm.answered, 500 / kSlowdown);
    EXPECT_GT(stats.workers_died, 5u) << "the killer has missed them";
    switch (end) {
      case End::dropped: storm.drop_all(); break;
      case End::outlived: break;
      case End::terminated: pool->terminate(); storm.terminated = true;
    }
    pool.reset();
    storm.check_all();
  }
  before.expect_now();
}

TEST(ProcessPoolMemory, all_comes_back_when_futures_are_dropped_before_the_pool) { storm_that_ends(End::dropped); }
TEST(ProcessPoolMemory, all_comes_back_when_futures_outlive_the_pool) { storm_that_ends(End::outlived); }
TEST(ProcessPoolMemory, arguments_of_tasks_that_ran_when_the_fork_server_was_killed_come_back_with_the_pools_end) {
  const std::string large(3 * kMiB, 'x');
  {
    ProcessPool first(2);
  }
  const Memory before = Memory::now();
  for (const unsigned retries : {0u, 2u}) {
    ProcessPool pool(2);
    const auto hold = [](const std::string& argument) {
      board().pass_gate();
      return argument.size();
    };
    std::vector<Future<std::size_t>> futures;
    for (int i = 0; i < 5; ++i) futures.push_back(pool.with({.retries = retries}).submit(hold, large));
    ASSERT_TRUE(eventually([] { return board().at_gate.load() == 2; }));
    ::kill(fork_servers_of(::getpid()).at(0), SIGKILL);
    for (auto& f : futures) EXPECT_THROW(f.get(), retinue::PoolClosed);
    board().at_gate.store(0);
  }
  before.expect_now();
}

TEST(ProcessPoolMemory, all_comes_back_when_the_pool_is_terminated) { storm_that_ends(End::terminated); }

}  // namespace process_pool_memory_test
