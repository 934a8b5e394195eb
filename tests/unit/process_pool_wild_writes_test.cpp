// Words that the processes of a pool share are overwritten: each future ends, and the pool goes on.
#include "support/process_watch.hpp"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "memory/region.hpp"
#include "processes/control.hpp"
#include "open_pool.hpp"

#include <retinue/process_pool.hpp>

namespace {

using namespace retinue_test;
using namespace retinue_test::wild_writes;
using retinue::Future;
using retinue::FutureStatus;
using retinue::MemoryOverwritten;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::detail::Control;
using retinue::detail::PoolMemory;
using retinue::detail::Region;
using retinue::detail::RegionHead;
using retinue::detail::Slot;
using retinue::detail::SlotState;
using retinue::detail::Tag;
using retinue::detail::WorkerRecord;
using Random = std::mt19937_64;

void expect_well(ProcessPool& pool) {
  std::vector<Future<int>> futures;
  for (int i = 0; i < 200; ++i) futures.push_back(pool.submit(twice, i));
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(futures[static_cast<std::size_t>(i)].wait_for(kLongest), FutureStatus::ready) << i;
    ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), 2 * i);
  }
}

/// Tasks that wait for the gate in every worker, and more of them, ready, in slots.
struct Queue {
  explicit Queue(OpenPool& open, int ready, unsigned retries = 0) {
    for (unsigned i = 0; i < kWorkers; ++i) held.push_back(open.pool.submit([] { board().pass_gate(); }));
    EXPECT_TRUE(eventually([&] { return board().at_gate.load() == static_cast<int>(kWorkers); }));
    first = open.memory.control->tail.load();
    for (int i = 0; i < ready; ++i) futures.push_back(open.pool.with({.retries = retries}).submit(twice, i));
  }
  ~Queue() { board().gate.store(1); }
  void open_gate() {
    board().gate.store(1);
    for (auto& f : held) EXPECT_EQ(f.wait_for(kLongest), FutureStatus::ready);
  }
  /// How many end with the error that says what happened; all others must be what they are.
  int overwritten() {
    int count = 0;
    for (std::size_t i = 0; i < futures.size(); ++i) {
      EXPECT_EQ(futures[i].wait_for(kLongest), FutureStatus::ready) << i;
      if (!futures[i].done()) return -1;
      try {
        EXPECT_EQ(futures[i].get(), 2 * static_cast<int>(i));
      } catch (const MemoryOverwritten&) {
        ++count;
      }
    }
    return count;
  }
  std::uint64_t first = 0;
  std::vector<Future<void>> held;
  std::vector<Future<int>> futures;
};

TEST(ProcessPoolWildWrites, a_ready_slot_whose_state_was_overwritten_costs_its_task) {
  OpenPool open;
  for (const std::uint64_t state : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{0x1234567890abcdef},
                                    SlotState::ready(77777, 0), std::uint64_t{5}}) {
    board().gate.store(0);
    board().at_gate.store(0);
    Queue queue(open, 10);
    open.memory.slot(queue.first + 3).state.store(state);
    queue.open_gate();
    EXPECT_EQ(queue.overwritten(), 1) << std::hex << state;
    expect_well(open.pool);
  }
}

TEST(ProcessPoolWildWrites, a_slot_that_names_a_worker_which_runs_something_else_or_nothing_costs_its_task) {
  OpenPool open;
  for (const Tag tag : {Tag::running, Tag::marked_for_kill}) {
    for (unsigned worker = 0; worker < kWorkers; ++worker) {
      board().gate.store(0);
      board().at_gate.store(0);
      Queue queue(open, 10);
      const std::uint64_t ready = open.memory.slot(queue.first + 3).state.load();
      open.memory.slot(queue.first + 3).state.store(SlotState::with_tag(SlotState::running(ready, worker), tag));
      if (worker == 1) {
        EXPECT_EQ(queue.futures[3].wait_for(kLongest), FutureStatus::ready) << "also while the worker is busy";
      }
      queue.open_gate();
      EXPECT_EQ(queue.overwritten(), 1) << worker;
      expect_well(open.pool);
    }
  }
}

TEST(ProcessPoolWildWrites, with_retries_a_task_whose_slot_was_overwritten_runs) {
  OpenPool open;
  Queue queue(open, 10, 1);
  for (int i = 0; i < 10; i += 2)
    open.memory.slot(queue.first + static_cast<unsigned>(i)).state.store(~std::uint64_t{0} << i);
  queue.open_gate();
  EXPECT_EQ(queue.overwritten(), 0);
  EXPECT_EQ(open.pool.stats().retried, 5u);
}

TEST(ProcessPoolWildWrites, a_running_slot_that_was_overwritten_is_still_its_workers) {
  OpenPool open;
  Queue queue(open, 10);
  for (std::uint64_t p = queue.first - kWorkers; p < queue.first; ++p)
    open.memory.slot(p).state.store(p == queue.first - 1 ? 0 : ~std::uint64_t{0});
  nap(1s);  // several looks
  for (auto& f : queue.held) EXPECT_FALSE(f.done()) << "its worker runs it, and says so";
  queue.open_gate();
  for (auto& f : queue.held) EXPECT_NO_THROW(f.get());
  EXPECT_EQ(queue.overwritten(), 0);
}

TEST(ProcessPoolWildWrites, a_tail_or_head_that_was_overwritten_costs_nothing) {
  for (const std::uint64_t wrong :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 20, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
    for (const bool tail : {true, false}) {
      for (const bool idle : {true, false}) {
        OpenPool open;
        expect_well(open.pool);
        open.settle();
        auto& word = tail ? open.memory.control->tail : open.memory.control->head;
        if (idle) {
          word.store(wrong);
          retinue::detail::ring_all_workers(open.memory);
          nap(5ms);
        }
        std::vector<Future<int>> futures;
        for (int i = 0; i < 100; ++i) {
          futures.push_back(open.pool.submit(twice, i));
          if (!idle && i == 50) word.store(wrong);
        }
        for (int i = 0; i < 100; ++i) {
          ASSERT_EQ(futures[static_cast<std::size_t>(i)].wait_for(kLongest), FutureStatus::ready)
              << tail << idle << wrong;
          EXPECT_EQ(futures[static_cast<std::size_t>(i)].get(), 2 * i);
        }
        expect_well(open.pool);
      }
    }
  }
}

TEST(ProcessPoolWildWrites, tasks_that_all_workers_have_skipped_still_run) {
  OpenPool open;
  for (int again = 0; again < 3; ++again) {
    board().gate.store(0);
    board().at_gate.store(0);
    Queue queue(open, 20);
    open.memory.control->head.store(queue.first + 15);
    open.memory.slot(queue.first).state.fetch_xor(std::uint64_t{1} << 50);  // who meets it goes to `head`
    queue.open_gate();
    EXPECT_LE(queue.overwritten(), 1);
    expect_well(open.pool);
  }
}

TEST(ProcessPoolWildWrites, bits_of_idlers_that_were_overwritten_keep_nobody_asleep) {
  OpenPool open;
  for (const std::uint64_t bits : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 60}) {
    for (int again = 0; again < 3; ++again) {
      expect_well(open.pool);
      open.settle();
      open.memory.control->idlers[0].asleep.store(again == 1 ? bits : 0);
      open.memory.control->idlers[0].spinning.store(again == 2 ? 0 : bits);
      auto f = open.pool.submit(twice, 4);
      ASSERT_EQ(f.wait_for(kLongest), FutureStatus::ready) << bits << again;
      EXPECT_EQ(f.get(), 8);
    }
  }
}

TEST(ProcessPoolWildWrites, a_word_that_closes_the_pool_is_believed_only_if_the_owner_wrote_it) {
  OpenPool open;
  for (const std::uint32_t wrong : {1u, ~0u, 0x80000000u}) {
    expect_well(open.pool);
    open.memory.control->closing.store(wrong);
    retinue::detail::ring_all_workers(open.memory);
    for (unsigned i = 0; i < kWorkers; ++i) open.memory.worker_records[i].kill_wanted.store(wrong);
    expect_well(open.pool);
  }
  EXPECT_EQ(open.pool.stats().workers_died, 0u);
}

TEST(ProcessPoolWildWrites, a_worker_whose_life_was_overwritten_is_not_lost) {
  OpenPool open;
  for (const std::uint32_t life : {0u, 1u, 2u, 3u, 4u, ~0u}) {
    for (const bool dies : {false, true}) {
      auto f = open.pool.submit(
          [](std::uintptr_t where, std::uint32_t wrong, bool die) {
            const PoolMemory m = PoolMemory::at(reinterpret_cast<std::byte*>(where), kWorkers, kSlots);
            for (unsigned i = 0; i < m.workers; ++i) {
              m.worker_records[i].life.store(static_cast<retinue::detail::Life>(wrong));
              if (wrong == 3) m.worker_records[i].pid.store(1);
            }
            if (die) std::raise(SIGKILL);
          },
          open.where, life, dies);
      ASSERT_EQ(f.wait_for(kLongest), FutureStatus::ready) << life << dies;
      std::vector<Future<void>> long_ones;  // one for each worker: they must all be there
      board().gate.store(0);
      board().at_gate.store(0);
      for (unsigned i = 0; i < kWorkers; ++i) long_ones.push_back(open.pool.submit([] { board().pass_gate(); }));
      EXPECT_TRUE(eventually([] { return board().at_gate.load() == static_cast<int>(kWorkers); }, kLongest))
          << life << dies;
      board().gate.store(1);
      for (auto& g : long_ones) EXPECT_EQ(g.wait_for(kLongest), FutureStatus::ready);
    }
  }
}

TEST(ProcessPoolWildWrites, a_kill_that_was_overwritten_is_asked_for_again) {
  OpenPool open;
  auto f = open.pool.with({.timeout = 100ms})
               .submit(
                   [](std::uintptr_t where) {
                     const PoolMemory m = PoolMemory::at(reinterpret_cast<std::byte*>(where), kWorkers, kSlots);
                     for (;;)
                       for (unsigned i = 0; i < m.workers; ++i)
                         if (m.worker_records[i].kill_wanted.exchange(0) != 0) {
                           board().counters[0].fetch_add(1);
                           for (;;) nap(1s);
                         }
                   },
                   open.where);
  ASSERT_EQ(f.wait_for(kLongest), FutureStatus::ready);
  EXPECT_THROW(f.get(), retinue::TaskTimeout);
}

TEST(ProcessPoolWildWrites, what_a_task_runs_and_where_its_arguments_lie_is_looked_at_first) {
  OpenPool open;
  for (int what = 0; what < 5; ++what) {
    board().gate.store(0);
    board().at_gate.store(0);
    Queue queue(open, 3);
    Slot& slot = open.memory.slot(queue.first + 1);
    switch (what) {
      case 0: slot.entry = ~std::uint64_t{0}; break;
      case 1: slot.entry = 0x12345678; break;
      case 2: slot.block = ~std::uint64_t{0} - 8; break;
      case 3: slot.size_and_kind = ~std::uint64_t{0}; break;
      default: slot.size_and_kind = 225 << 16;
    }
    queue.open_gate();
    for (int i = 0; i < 3; ++i) {
      auto& f = queue.futures[static_cast<std::size_t>(i)];
      ASSERT_EQ(f.wait_for(kLongest), FutureStatus::ready);
      if (i == 1) EXPECT_THROW(f.get(), retinue::Error) << what;
      else EXPECT_EQ(f.get(), 2 * i);
    }
    expect_well(open.pool);
  }
  EXPECT_EQ(open.pool.stats().workers_died, 0u);
}

TEST(ProcessPoolWildWrites, the_head_of_the_region_is_written_again) {
  OpenPool open;
  expect_well(open.pool);
  auto* head = reinterpret_cast<RegionHead*>(Region::of_this_process().at(0));
  const std::uint32_t modules = head->modules.count.load();
  const auto name = head->modules.records[0];
  const auto limit = head->rules.limit.load();
  head->modules.count.store(0);
  std::memset(static_cast<void*>(&head->modules.records[0]), 0x55, sizeof name);
  head->rules.limit.store(3);
  head->rules.huge_pages_from.store(12345);
  auto f = open.pool.submit([](int n) { return std::string(static_cast<std::size_t>(n), 'x'); }, 1000);
  ASSERT_EQ(f.wait_for(kLongest), FutureStatus::ready);
  auto held = open.pool.submit([] { board().pass_gate(); });
  EXPECT_TRUE(eventually([&] {
    return head->modules.count.load() == modules && std::memcmp(&head->modules.records[0], &name, 16) == 0 &&
           head->rules.limit.load() == limit && head->rules.huge_pages_from.load() == 0;
  }));
  board().gate.store(1);
  EXPECT_EQ(held.wait_for(kLongest), FutureStatus::ready);
  expect_well(open.pool);
}

TEST(ProcessPoolWildWrites, blocks_on_their_way_back_are_not_taken_for_others) {
  OpenPool open;
  auto make = [](char c) { return std::string(100'000, c); };
  std::optional<Future<std::string>> kept(open.pool.submit(make, 'a'));
  kept->wait();
  const std::uint64_t stale = open.memory.slot(open.memory.control->tail.load() - 1).block;
  for (unsigned i = 0; i < kWorkers; ++i) open.memory.worker_records[i].returned.top.store(stale);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(open.pool.submit(make, 'b').get(), make('b'));
  EXPECT_EQ(kept->get(), make('a')) << "nobody has written over it";
}

}  // namespace
