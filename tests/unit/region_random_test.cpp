// Results of random sizes that workers make and the owner takes, while workers die at random.
#include "support/process_watch.hpp"

#include <memory>
#include <vector>

#include "memory/block_heap.hpp"
#include "memory/region.hpp"
#include "memory/worker_heap.hpp"
#include "random_blocks.hpp"

namespace region_random_test {

using namespace retinue_test;
using retinue::detail::BlockHeap;
using retinue::detail::Part;
using retinue::detail::Region;
using retinue::detail::ReturnStack;
using retinue::detail::WorkerHeap;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr double kDoublings = 23;  // 8 MiB

/// A worker's side of its part, here without a process: what is in `results` the owner has not heard of yet.
struct Seat {
  explicit Seat(Region& region)
      : part(region.make_part(&stack, 4)), heap(std::make_unique<WorkerHeap>(region, part->extent(), stack)) {}

  ReturnStack stack;
  Part* part;
  std::unique_ptr<WorkerHeap> heap;
  std::vector<Block> results;
  KeptChunks kept;
};

TEST(RegionRandom, results_outlive_their_workers_and_nothing_else_does) {
  const std::uint64_t seed = random_seed();
  SCOPED_TRACE(told(seed));
  Random random(seed);
  Region& region = Region::of_this_process();
  region.trim();
  const auto before = region.usage();
  const auto pages_before = pages_of(region.memfd());
  ReturnStack probe;
  Part* part = region.make_part(&probe, 4);
  const auto addresses_before = part->extent();
  region.retire(part);

  struct Held : Block {
    Part* part;
    KeptChunks* kept;  // null once the worker is dead
  };
  std::vector<Held> held;
  std::vector<Block> own;
  std::vector<std::unique_ptr<Seat>> seats;
  std::uint64_t marks = 0, owner_bytes = 0, result_bytes = 0;
  KeptChunks kept;
  const auto intact = [&](const Block& b) { return is_filled(region.at(b.offset), b.bytes, b.mark); };
  const auto release = [&](const Held& b) {
    ASSERT_TRUE(intact(b)) << "a result of " << b.bytes << " bytes has changed in the owner's hands";
    region.release(b.part, b.offset, b.bytes);
    result_bytes -= BlockHeap::footprint(b.bytes);
    if (b.kept != nullptr) b.kept->count(b.bytes, -1);
  };
  const auto free_own = [&](const Block& b) {
    ASSERT_TRUE(intact(b)) << "a block of the owner's has changed";
    region.free(b.offset, b.bytes);
    owner_bytes -= BlockHeap::footprint(b.bytes);
    kept.count(b.bytes, -1);
  };

  const auto die = [&](Seat& seat) {
    for (Held& b : held)
      if (b.part == seat.part) b.kept = nullptr;
    seat.heap.reset();
    region.retire(seat.part);
  };

  for (int i = 0; i < 4; ++i) seats.push_back(std::make_unique<Seat>(region));
  for (int step = 0; step < 6000 / kSlowdown; ++step) {
    auto& seat = seats[random() % seats.size()];
    const bool full = owner_bytes + result_bytes > 64 * kMiB;
    switch (random() % 16) {
      case 0:
      case 1:
      case 2:
      case 3: {  // the worker makes a result
        if (seat->results.size() > 3) break;
        const std::uint64_t bytes = any_size(random, kDoublings);
        seat->results.push_back({seat->heap->allocate(bytes), bytes, ++marks});
        fill(region.at(seat->results.back().offset), bytes, marks);
        seat->kept.count(bytes, 1);
        break;
      }
      case 4:
      case 5:
      case 6:
      case 7:  // the owner takes one
        if (seat->results.empty() || full) break;
        held.push_back({take_out(seat->results, random() % seat->results.size()), seat->part, &seat->kept});
        region.adopt(seat->part, held.back().offset, held.back().bytes);
        result_bytes += BlockHeap::footprint(held.back().bytes);
        break;
      case 8:
      case 9:
      case 10:
        if (held.empty()) break;
        ASSERT_NO_FATAL_FAILURE(release(take_out(held, random() % held.size())));
        break;
      case 11:
      case 12: {
        if (full) break;
        const std::uint64_t bytes = any_size(random, kDoublings);
        own.push_back({region.allocate(bytes), bytes, ++marks});
        fill(region.at(own.back().offset), bytes, marks);
        owner_bytes += BlockHeap::footprint(bytes);
        kept.count(bytes, 1);
        break;
      }
      case 13:
      case 14:
        if (own.empty()) break;
        ASSERT_NO_FATAL_FAILURE(free_own(take_out(own, random() % own.size())));
        break;
      default:
        if (one_in(random, 2)) {
          die(*seat);
          seat = std::make_unique<Seat>(region);
        } else if (one_in(random, 4)) {
          region.trim();
        } else {
          for (const Block& b : seat->results) ASSERT_TRUE(intact(b)) << "a result of " << b.bytes << " bytes";
          if (one_in(random, 4)) seat->heap->trim();
        }
    }
    const auto usage = region.usage();
    ASSERT_EQ(usage.owner_bytes - before.owner_bytes, owner_bytes);
    ASSERT_EQ(usage.result_bytes - before.result_bytes, result_bytes);
    ASSERT_EQ(usage.blocks - before.blocks, own.size() + held.size());
  }

  for (const Block& b : own) ASSERT_NO_FATAL_FAILURE(free_own(b));
  die(*seats[0]);
  while (!held.empty()) ASSERT_NO_FATAL_FAILURE(release(take_out(held, random() % held.size())));
  EXPECT_EQ(region.usage().blocks, before.blocks);
  EXPECT_EQ(region.usage().owner_bytes, before.owner_bytes);
  EXPECT_EQ(region.usage().result_bytes, before.result_bytes);
  region.trim();
  const std::uint64_t most_kept = kept.most_bytes();
  std::uint64_t most_kept_by_workers = 0;
  for (std::size_t i = 1; i < seats.size(); ++i) {  // those that live have all of their memory back
    for (const Block& b : seats[i]->results) seats[i]->heap->free(b.offset, b.bytes);
    seats[i]->heap->trim();
    EXPECT_FALSE(seats[i]->heap->has_warm_memory());
    most_kept_by_workers += seats[i]->kept.most_bytes();
  }
  EXPECT_LE(pages_of(region.memfd()), pages_before + most_kept + most_kept_by_workers);
  for (std::size_t i = 1; i < seats.size(); ++i) die(*seats[i]);
  EXPECT_LE(pages_of(region.memfd()), pages_before + most_kept);
  part = region.make_part(&probe, 4);
  EXPECT_EQ(part->extent().offset, addresses_before.offset) << "addresses are lost";
  EXPECT_EQ(part->extent().length, addresses_before.length);
  region.retire(part);
}

}  // namespace region_random_test
