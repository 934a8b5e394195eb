// Workers that write over what they share: the damage ends at their own tasks.
#include "support/process_watch.hpp"

#include <exception>
#include <random>
#include <ranges>
#include <string>
#include <vector>

#include <retinue/process_pool.hpp>

#include "memory/region.hpp"
#include "processes/control.hpp"
#include "open_pool.hpp"

namespace process_pool_hostile_test {

using namespace retinue_test;
using retinue::Future;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::WorkerDied;
using retinue::detail::Control;
using retinue::detail::PoolMemory;
using retinue::detail::Region;
using retinue::detail::Slot;
using retinue::detail::WorkerRecord;

int twice(int x) { return 2 * x; }
ProcessPoolOptions small_ring(unsigned workers) {
  ProcessPoolOptions options;
  options.workers = workers;
  options.slot_count = 64;
  return options;
}

/// A pool whose shared memory the test and its tasks can find, and write to where they must not.
struct OpenPool {
  static constexpr unsigned kWorkers = 2;
  static constexpr std::uint64_t kSlots = 64;

  OpenPool()
      : at(reinterpret_cast<std::byte*>(wild_writes::place_of_next_pool(kWorkers, kSlots))),
        pool(small_ring(kWorkers)),
        memory(PoolMemory::at(at, kWorkers, kSlots)) {
    EXPECT_EQ(pool.submit(twice, 1).get(), 2);
    EXPECT_EQ(memory.control->tail.load(), 1u) << "the pool's memory is where this test thinks it is";
  }
  std::uintptr_t where() const { return reinterpret_cast<std::uintptr_t>(at); }

  std::byte* at;
  ProcessPool pool;
  PoolMemory memory;
};

PoolMemory memory_at(std::uintptr_t where) {
  return PoolMemory::at(reinterpret_cast<std::byte*>(where), OpenPool::kWorkers, OpenPool::kSlots);
}
WorkerRecord& own_record(const PoolMemory& m) {
  for (int tries = 0; tries < 2000; ++tries, nap())  // a fresh worker may run before its pid is noted
    for (unsigned i = 0; i < m.workers; ++i)
      if (m.worker_records[i].pid.load() == ::getpid()) return m.worker_records[i];
  std::abort();  // an earlier task has overwritten it
}

/// All is well with the pool: it may have lost workers, but it works.
void expect_well(ProcessPool& pool) {
  for (int i = 0; i < 300; ++i) {
    auto f = pool.with({.retries = 10}).submit(twice, i);
    ASSERT_EQ(f.wait_for(kSoon), retinue::FutureStatus::ready);
    ASSERT_EQ(f.get(), 2 * i);
  }
  int i = 0;
  for (auto& s : pool.with({.retries = 10})
                     .map([](int n) { return std::string(1000, static_cast<char>(n)); }, std::views::iota(0, 100))) {
    ASSERT_EQ(s, std::string(1000, static_cast<char>(i)));
    ++i;
  }
}

/// A task that is done and not yet read, and its slot, which any process of the pool can write to.
struct Unread {
  template <class F, class... A>
  Unread(OpenPool& open, F f, A... arguments)
      : future(open.pool.submit(f, arguments...)), slot(open.memory.slot(open.memory.control->tail.load() - 1)) {
    EXPECT_TRUE(eventually([&] { return future.done(); }));
  }
  /// True if reading it fails. A round of the service thread may have read it before it was overwritten:
  /// then it must be what it was.
  template <class Was>
  bool fails(const Was& was) {
    try {
      EXPECT_EQ(future.get(), was);
      return false;
    } catch (const std::exception&) {
      return true;
    }
  }
  Future<std::string> future;
  Slot& slot;
};

TEST(ProcessPoolHostile, a_result_whose_description_was_overwritten_is_an_exception_not_a_crash) {
  OpenPool open;
  const std::uint64_t blocks[] = {0, 1, 64, 4096, ~std::uint64_t{0}, ~std::uint64_t{0} - 63, std::uint64_t{1} << 45};
  const std::uint64_t sizes[] = {0, 1, 225, 100'000, (std::uint64_t{1} << 48) - 1, std::uint64_t{1} << 30};
  for (const std::uint64_t block : blocks) {
    for (const std::uint64_t size : sizes) {
      for (const bool large : {false, true}) {
        const bool fails = eventually([&] {  // a round of the service thread may be first, and again
          Unread victim(open, [](bool big) { return std::string(big ? 100'000 : 100, 'v'); }, large);
          victim.slot.block = block;
          victim.slot.size_and_kind = size << 16;
          return victim.fails(std::string(large ? 100'000 : 100, 'v'));
        });
        EXPECT_TRUE(fails) << "block " << block << ", size " << size << ", " << large;
      }
    }
  }
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, a_result_that_claims_the_memory_of_another_is_an_exception) {
  OpenPool open;
  auto make = [](char c) { return std::string(100'000, c); };
  Unread first(open, make, 'a');
  Unread second(open, make, 'b');
  const auto block = first.slot.block;
  EXPECT_EQ(first.future.get(), make('a'));  // in the owner's hands from here on
  Unread third(open, make, 'c');
  second.slot.block = third.slot.block = block;
  EXPECT_TRUE(second.fails(make('b')) | third.fails(make('c')));
  EXPECT_EQ(first.future.get(), make('a'));
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, a_result_of_no_known_kind_is_an_exception) {
  OpenPool open;
  int failed = 0;
  for (const unsigned kind : {1u, 2u, 77u, 255u}) {
    for (int i = 0; i < 5; ++i) {
      Unread victim(open, [] { return std::string(100, 'v'); });
      victim.slot.size_and_kind |= kind;
      failed += victim.fails(std::string(100, 'v')) ? 1 : 0;
    }
  }
  EXPECT_GT(failed, 16) << "of 20";
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, random_bytes_for_a_result_are_an_exception_or_a_value) {
  OpenPool open;
  int refused = 0;
  const int n = 400 / kSlowdown;
  for (int seed = 0; seed < n; ++seed) {
    std::mt19937 random(static_cast<unsigned>(seed));
    auto f = open.pool.submit([](bool big) { return std::vector<std::string>(big ? 3000 : 3, std::string(20, 'v')); },
                              seed % 2 == 1);
    Slot& slot = open.memory.slot(open.memory.control->tail.load() - 1);
    ASSERT_TRUE(eventually([&] { return f.done(); }));
    auto* bytes =
        slot.block != 0 ? reinterpret_cast<unsigned char*>(&slot) + 8 : reinterpret_cast<unsigned char*>(slot.payload);
    for (int k = 0; k < (slot.block != 0 ? 24 : 200); ++k) bytes[k] = static_cast<unsigned char>(random());
    try {
      (void)f.get();
    } catch (const std::exception&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, n / 2);
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, a_worker_that_overwrites_its_slots_state_and_dies_costs_its_task) {
  OpenPool open;
  const std::uint64_t states[] = {0, ~std::uint64_t{0}, 0x1234567890abcdef, 2 | 1023u << 8, 5, 3, 4};
  for (const std::uint64_t state : states) {
    auto f = open.pool.submit(
        [](std::uintptr_t where, std::uint64_t s) {
          const PoolMemory m = memory_at(where);
          m.slot(own_record(m).current.load() - 1).state.store(s);
          std::raise(SIGKILL);
        },
        open.where(), state);
    ASSERT_EQ(f.wait_for(kSoon), retinue::FutureStatus::ready) << std::hex << state;
    EXPECT_THROW(f.get(), std::exception);
    expect_well(open.pool);
  }
}

TEST(ProcessPoolHostile, a_worker_that_overwrites_its_slots_state_and_goes_on_does_no_harm) {
  OpenPool open;
  for (const std::uint64_t state : {std::uint64_t{0}, ~std::uint64_t{0}}) {
    auto f = open.pool.submit(
        [](std::uintptr_t where, std::uint64_t s) {
          const PoolMemory m = memory_at(where);
          m.slot(own_record(m).current.load() - 1).state.store(s);
          nap(20ms);
          return 5;
        },
        open.where(), state);
    ASSERT_EQ(f.wait_for(kSoon), retinue::FutureStatus::ready) << state;
    try {
      EXPECT_EQ(f.get(), 5);
    } catch (const retinue::Error&) {
    }
    expect_well(open.pool);
  }
}

TEST(ProcessPoolHostile, a_task_that_overwrote_its_slots_state_can_still_be_stopped) {
  OpenPool open;
  auto vandal = [](std::uintptr_t where, std::uint64_t s) {
    const PoolMemory m = memory_at(where);
    m.slot(own_record(m).current.load() - 1).state.store(s);
    board().at_gate.fetch_add(1);
    for (;;) nap(1s);
  };
  for (const std::uint64_t state : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{5}}) {
    auto late = open.pool.with({.timeout = 50ms}).submit(vandal, open.where(), state);
    ASSERT_EQ(late.wait_for(kSoon), retinue::FutureStatus::ready) << state;
    EXPECT_THROW(late.get(), retinue::Error);
    board().at_gate.store(0);
    auto forced = open.pool.submit(vandal, open.where(), state);
    ASSERT_TRUE(eventually([&] { return board().at_gate.load() == 1; }));
    forced.cancel(true);
    ASSERT_EQ(forced.wait_for(kSoon), retinue::FutureStatus::ready) << state;
    EXPECT_THROW(forced.get(), retinue::Error);
    expect_well(open.pool);
  }
}

TEST(ProcessPoolHostile, a_done_slot_that_a_dying_worker_overwrote_still_ends) {
  OpenPool open;
  for (const std::uint64_t state : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{0x77777777}}) {
    auto victim = open.pool.submit(twice, 4);
    const std::uint64_t position = open.memory.control->tail.load() - 1;
    ASSERT_TRUE(eventually([&] { return victim.done(); }));
    auto killer = open.pool.submit(
        [](std::uintptr_t where, std::uint64_t p, std::uint64_t s) {
          memory_at(where).slot(p).state.store(s);
          std::raise(SIGSEGV);
        },
        open.where(), position, state);
    EXPECT_THROW(killer.get(), WorkerDied);
    ASSERT_EQ(victim.wait_for(kSoon), retinue::FutureStatus::ready) << state;
    try {
      EXPECT_EQ(victim.get(), 8);
    } catch (const retinue::Error&) {
    }
    expect_well(open.pool);
  }
}

TEST(ProcessPoolHostile, a_worker_that_overwrites_its_record_costs_no_more_than_itself) {
  OpenPool open;
  for (const int fill : {0x00, 0xff, 0x01, 0x55}) {
    for (const bool dies : {false, true}) {
      auto f = open.pool.submit(
          [](std::uintptr_t where, int byte, bool die) {
            const PoolMemory m = memory_at(where);
            WorkerRecord& record = own_record(m);
            std::memset(static_cast<void*>(&record), byte, sizeof record);
            if (die) std::raise(SIGKILL);
            return 5;
          },
          open.where(), fill, dies);
      ASSERT_EQ(f.wait_for(kSoon), retinue::FutureStatus::ready) << fill << dies;
      try {
        EXPECT_EQ(f.get(), 5);
      } catch (const WorkerDied&) {
      }
      expect_well(open.pool);
    }
  }
}

TEST(ProcessPoolHostile, a_crash_record_of_nonsense_is_reported_without_harm) {
  OpenPool open;
  for (const int fill : {0x00, 0xff, 0x41}) {
    auto e = thrown_by<WorkerDied>([&] {
      open.pool
          .submit(
              [](std::uintptr_t where, int byte) {
                const PoolMemory m = memory_at(where);
                WorkerRecord& record = own_record(m);
                std::memset(static_cast<void*>(&record.crash_stack), byte, sizeof record.crash_stack);
                std::memset(static_cast<void*>(&record.crash_note), byte, sizeof record.crash_note);
                record.crash_signal.store(byte == 0 ? SIGSEGV : byte);
                std::raise(SIGKILL);
              },
              open.where(), fill)
          .get();
    });
    ASSERT_TRUE(e);
    EXPECT_GT(e->signal(), 0);
    EXPECT_LT(e->signal(), 65);
  }
  expect_well(open.pool);
}

TEST(ProcessPoolHostile, a_worker_that_overwrites_the_whole_pool_ends_every_future) {
  const ChildEnd end = in_child([] {
    for (const int fill : {0x00, 0xff, 0x33}) {
      OpenPool open;
      std::vector<Future<int>> futures;
      for (int i = 0; i < 200; ++i) futures.push_back(open.pool.submit(twice, i));
      auto f = open.pool.submit(
          [](std::uintptr_t where, int byte) {
            std::memset(reinterpret_cast<void*>(where), byte,
                        PoolMemory::bytes_needed(OpenPool::kWorkers, OpenPool::kSlots));
            std::raise(SIGKILL);
          },
          open.where(), fill);
      (void)f.wait_for(1s);
      open.pool.terminate();
      for (auto& g : futures) DEMAND(g.done());
    }
    return 0;
  });
  // It may be lost, pool and all, but it neither crashes its owner nor makes it wait for ever.
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

}  // namespace process_pool_hostile_test
