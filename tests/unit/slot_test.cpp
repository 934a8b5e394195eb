// The state word of a slot, the doorbells, and how long to poll.
#include "support/process_watch.hpp"

#include <algorithm>
#include <mutex>
#include <sys/mman.h>
#include <thread>
#include <vector>

#include <retinue/detail/tasks/owner_doorbell.hpp>

#include "processes/control.hpp"
#include "processes/slot.hpp"
#include "processes/spin.hpp"
#include "processes/way_giver.hpp"

namespace slot_test {

using namespace retinue_test;
using retinue::detail::OwnerDoorbell;
using retinue::detail::PoolMemory;
using retinue::detail::ResultKind;
using retinue::detail::Slot;
using retinue::detail::SlotState;
using retinue::detail::SpinBudget;
using retinue::detail::Tag;
using retinue::detail::WayGiver;

TEST(SlotState, carries_position_worker_and_rings_side_by_side) {
  for (const std::uint64_t position :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{12'345'678'901}, SlotState::kPositionMask}) {
    for (const unsigned worker : {0u, 1u, 63u, 1023u}) {
      for (const std::uint64_t rings :
           {std::uint64_t{0}, SlotState::kRingOwner, SlotState::kRingService, SlotState::kRings}) {
        const auto ready = SlotState::ready(position, rings);
        EXPECT_EQ(SlotState::tag(ready), Tag::ready);
        EXPECT_TRUE(SlotState::is_at(ready, position));
        EXPECT_FALSE(SlotState::is_at(ready, position + 1));
        const auto running = SlotState::running(ready, worker);
        EXPECT_EQ(SlotState::tag(running), Tag::running);
        EXPECT_EQ(SlotState::worker(running), worker);
        EXPECT_EQ(SlotState::position(running), position);
        EXPECT_EQ(running & SlotState::kRings, rings);
        for (const Tag tag : {Tag::free, Tag::done, Tag::marked_for_kill}) {
          const auto changed = SlotState::with_tag(running, tag);
          EXPECT_EQ(SlotState::tag(changed), tag);
          EXPECT_EQ(SlotState::worker(changed), worker);
          EXPECT_EQ(SlotState::position(changed), position);
          EXPECT_EQ(changed & SlotState::kRings, rings);
        }
      }
    }
  }
}

TEST(SlotState, positions_are_told_apart_for_forty_bits) {
  EXPECT_FALSE(SlotState::is_at(SlotState::ready(5, 0), 5 + 4096));
  EXPECT_FALSE(SlotState::is_at(SlotState::ready(5, 0), 5 + (std::uint64_t{1} << 39)));
  EXPECT_TRUE(SlotState::is_at(SlotState::ready(5, 0), 5 + (std::uint64_t{1} << 40)));
}

TEST(Slot, describes_its_payload) {
  Slot slot{};
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{224}, (std::uint64_t{1} << 48) - 1}) {
    slot.describe(size, Slot::kTimed, ResultKind::exception);
    EXPECT_EQ(slot.size(), size);
    EXPECT_EQ(slot.flags(), Slot::kTimed);
    EXPECT_EQ(slot.kind(), static_cast<std::uint8_t>(ResultKind::exception));
    slot.describe(size, 0, ResultKind::value);
    EXPECT_EQ(slot.size(), size);
    EXPECT_EQ(slot.flags(), 0);
    EXPECT_EQ(slot.kind(), static_cast<std::uint8_t>(ResultKind::value));
  }
}

TEST(Slot, is_claimed_by_one_of_many) {
  constexpr int kThreads = 4, kRounds = 400;  // each is a turn for every thread, and a busy machine gives few
  std::atomic<std::uint64_t> state{0};
  std::atomic<int> round{-1}, claims{0}, waiting{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int r = 0; r < kRounds; ++r) {
        while (round.load() < r) std::this_thread::yield();
        std::uint64_t seen = SlotState::ready(static_cast<std::uint64_t>(r), 0);
        if (state.compare_exchange_strong(seen, SlotState::running(seen, t))) {
          ++claims;
          EXPECT_EQ(SlotState::worker(state.load()), t);
        }
        ++waiting;
      }
    });
  for (int r = 0; r < kRounds; ++r) {
    state.store(SlotState::ready(static_cast<std::uint64_t>(r), 0));
    round.store(r);
    while (waiting.load() < kThreads * (r + 1)) std::this_thread::yield();
    ASSERT_EQ(claims.load(), r + 1);
  }
  for (auto& thread : threads) thread.join();
}

/// Zeroed memory of a pool, without a pool.
struct OwnMemory {
  explicit OwnMemory(unsigned workers, std::uint64_t slots = 64)
      : bytes(PoolMemory::bytes_needed(workers, slots)),
        at(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        memory(PoolMemory::lay_out(static_cast<std::byte*>(at), workers, slots)) {}
  ~OwnMemory() { ::munmap(at, bytes); }
  std::size_t bytes;
  void* at;
  PoolMemory memory;
};

TEST(PoolMemory, lies_within_its_bytes_on_lines_of_its_own) {
  for (const unsigned workers : {1u, 2u, 64u, 65u, 1024u}) {
    OwnMemory own(workers, 128);
    const auto& m = own.memory;
    const auto* begin = static_cast<std::byte*>(own.at);
    const auto* end = begin + own.bytes;
    EXPECT_LE(reinterpret_cast<const std::byte*>(m.slots + 128), end);
    EXPECT_LE(reinterpret_cast<const std::byte*>(m.worker_records + workers),
              reinterpret_cast<const std::byte*>(m.slots));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(m.slots) % 64, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(m.worker_records) % 64, 0u);
    EXPECT_EQ(m.idler_words(), (workers + 63) / 64);
    EXPECT_EQ(&m.slot(5), &m.slot(5 + 128));
    for (int i = 0; i < 128; ++i) EXPECT_EQ(SlotState::tag(m.slots[i].state.load()), Tag::free);
  }
}

TEST(PoolMemory, one_sleeper_is_woken_at_a_time) {
  OwnMemory own(130);
  auto& idlers = own.memory.control->idlers;
  idlers[0].asleep = 1u << 3;
  idlers[2].asleep = 1u << 1;
  wake_one(own.memory);
  EXPECT_EQ(own.memory.worker_records[3].doorbell.load(), 1u);
  EXPECT_EQ(own.memory.worker_records[129].doorbell.load(), 0u);
  EXPECT_EQ(idlers[0].asleep.load(), 0u);
  wake_one(own.memory);
  EXPECT_EQ(own.memory.worker_records[129].doorbell.load(), 1u);
  EXPECT_EQ(idlers[2].asleep.load(), 0u);
  wake_one(own.memory);
  unsigned rung = 0;
  for (unsigned i = 0; i < 130; ++i) rung += own.memory.worker_records[i].doorbell.load();
  EXPECT_EQ(rung, 2u);
}

TEST(PoolMemory, bits_beyond_the_last_worker_are_no_worker) {
  OwnMemory own(2);
  auto& idlers = own.memory.control->idlers;
  idlers[0].asleep = ~std::uint64_t{0} << 2;  // as if scribbled
  idlers[0].spinning = ~std::uint64_t{0} << 2;
  wake_one(own.memory);
  EXPECT_EQ(own.memory.worker_records[0].doorbell.load() + own.memory.worker_records[1].doorbell.load(), 0u);
  EXPECT_FALSE(somebody_spins(own.memory, true));
}

TEST(PoolMemory, a_busy_worker_does_not_count_as_spinning_when_looked_at_closely) {
  OwnMemory own(2);
  own.memory.control->idlers[0].spinning = 2;
  EXPECT_TRUE(somebody_spins(own.memory, false));
  EXPECT_TRUE(somebody_spins(own.memory, true));
  own.memory.worker_records[1].current = 77;
  EXPECT_FALSE(somebody_spins(own.memory, true));
}

// The owner's doorbell ---------------------------------------------------------------------------------

TEST(OwnerDoorbell, is_one_for_a_process_and_another_in_its_child) {
  OwnerDoorbell& doorbell = OwnerDoorbell::of_this_process();
  EXPECT_EQ(&doorbell, &OwnerDoorbell::of_this_process());
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    OwnerDoorbell& own = OwnerDoorbell::of_this_process();
    ::_exit(&own != &doorbell && &own == &OwnerDoorbell::of_this_process() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(&doorbell, &OwnerDoorbell::of_this_process());
}

TEST(OwnerDoorbell, a_ring_before_the_sleep_is_not_missed) {
  OwnerDoorbell& doorbell = OwnerDoorbell::of_this_process();
  const auto seen = doorbell.value();
  doorbell.ring(1);
  EXPECT_TRUE(doorbell.wait(seen, Clock::now() + kSoon, 1));
  EXPECT_TRUE(doorbell.wait(seen, Clock::now() + kSoon, 2)) << "whatever the mask: the word has changed";
}

TEST(OwnerDoorbell, a_sleep_ends_at_its_deadline) {
  OwnerDoorbell& doorbell = OwnerDoorbell::of_this_process();
  const auto start = Clock::now();
  EXPECT_TRUE(eventually([&] { return !doorbell.wait(doorbell.value(), Clock::now() + 20ms); }));
  EXPECT_GE(Clock::now() - start, 20ms);
  EXPECT_FALSE(doorbell.wait(doorbell.value(), Clock::now() - 1h));
}

TEST(OwnerDoorbell, wakes_its_owner_when_a_child_rings) {
  OwnerDoorbell& doorbell = OwnerDoorbell::of_this_process();
  const auto seen = doorbell.value();
  const pid_t child = ::fork();
  if (child == 0) {
    nap(20ms);
    doorbell.ring(4);
    ::_exit(0);
  }
  EXPECT_TRUE(eventually([&] { return doorbell.wait(seen, Clock::now() + 1s, 4) && doorbell.value() != seen; }));
  ::waitpid(child, nullptr, 0);
}

TEST(OwnerDoorbell, wakes_those_whose_mask_it_meets) {
  OwnerDoorbell& doorbell = OwnerDoorbell::of_this_process();
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> stop{false};
    std::atomic<int> woken{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        const std::uint32_t mask = t % 2 ? 1u : OwnerDoorbell::kEveryone;
        while (!stop.load()) {
          const auto seen = doorbell.value();
          if (stop.load()) break;
          doorbell.wait(seen, std::nullopt, mask);
        }
        ++woken;
      });
    nap(std::chrono::microseconds(round * 20));
    stop = true;
    doorbell.ring(1);
    EXPECT_TRUE(eventually([&] { return woken.load() == 4; }));
    while (woken.load() < 4) doorbell.ring();
    for (auto& thread : threads) thread.join();
  }
}

// Polling ------------------------------------------------------------------------------------------

TEST(SpinBudget, sees_what_is_there_at_the_first_look) {
  SpinBudget spin;
  unsigned looks = 0;
  EXPECT_TRUE(spin.until(100us, false, [&](unsigned n) {
    EXPECT_EQ(n, looks);
    ++looks;
    return true;
  }));
  EXPECT_EQ(looks, 1u);
}

TEST(SpinBudget, gives_up) {
  for (const bool crowded : {false, true}) {
    SpinBudget spin;
    const auto start = Clock::now();
    EXPECT_FALSE(spin.until(100us, crowded, [](unsigned) { return false; }));
    spin.slept();
    EXPECT_LT(Clock::now() - start, kSoon);
  }
}

TEST(SpinBudget, polls_less_after_long_waits_and_more_again_after_short_ones) {
  SpinBudget spin;
  // The most looks of several tries: to lose the processor can only make them fewer.
  auto looks = [&] {
    unsigned most = 0;
    for (int i = 0; i < 5; ++i) {
      unsigned n = 0;
      spin.until(900us, false, [&](unsigned) {
        ++n;
        return false;
      });
      most = std::max(most, n);
    }
    return most;
  };
  const unsigned hopeful = looks();
  for (int i = 0; i < 12; ++i) {
    spin.until(900us, false, [](unsigned) { return false; });
    nap(20ms);
    spin.slept();
  }
  const unsigned resigned = looks();
  EXPECT_LT(resigned, hopeful);
  for (int i = 0; i < 60; ++i) spin.until(900us, false, [](unsigned) { return true; });
  EXPECT_GT(looks(), resigned);
}

TEST(SpinBudget, ends_when_it_is_not_to_stay_but_not_before_its_first_looks) {
  SpinBudget spin;
  unsigned looks = 0, asked = 0;
  const auto start = Clock::now();
  EXPECT_FALSE(spin.until(
      10s, false,
      [&](unsigned) {
        ++looks;
        return false;
      },
      [&] { return ++asked < 3; }));
  EXPECT_EQ(asked, 3u);
  EXPECT_GT(looks, 10u);
  EXPECT_LT(Clock::now() - start, kSoon);
  EXPECT_TRUE(spin.until(10s, false, [](unsigned) { return true; }, [] { return false; }));
}

TEST(WayGiver, sleeps_for_nobody_and_not_for_a_waiter_elsewhere) {
  WayGiver way_giver;
  EXPECT_FALSE(way_giver.should_sleep(0));
  EXPECT_FALSE(way_giver.should_sleep(100'000)) << "no machine has that CPU";
}

TEST(WayGiver, tries_less_and_less_often_where_it_is_of_no_use) {
  WayGiver way_giver;
  auto now = WayGiver::Clock::now();
  EXPECT_TRUE(way_giver.is_time(now));
  EXPECT_FALSE(way_giver.is_time(now));
  auto pause_after = [&] {
    const auto from = now;
    while (!way_giver.is_time(now)) now += 100us;
    return now - from;
  };
  auto before = pause_after();
  EXPECT_LE(before, 1ms);
  for (int i = 0; i < 20; ++i) {
    const auto pause = pause_after();
    EXPECT_GE(pause, before);
    before = pause;
  }
  EXPECT_GE(before, 60ms);
  EXPECT_LE(before, 65ms);
  now += 1s;
  EXPECT_TRUE(way_giver.is_time(now));
  EXPECT_LE(pause_after(), 1ms) << "long ago is forgotten";
}

}  // namespace slot_test
