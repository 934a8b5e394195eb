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
using retinue::detail::Arena;
using retinue::detail::BlockHeap;
using retinue::detail::Region;
using retinue::detail::ReturnStack;
using retinue::detail::WorkerHeap;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr double kDoublings = 23;  // 8 MiB

/// A worker's side of its arena, here without a process: what is in `results` the owner does not know of yet.
struct FakeWorker {
  explicit FakeWorker(Region& region)
      : arena(region.make_arena(&stack, 4)), heap(std::make_unique<WorkerHeap>(region, arena->extent(), stack)) {}

  ReturnStack stack;
  Arena* arena;
  std::unique_ptr<WorkerHeap> heap;
  std::vector<Block> results;
  KeptChunks kept;
};

TEST(RegionRandom, results_outlive_their_workers_and_nothing_else_does) {
  const std::uint64_t seed = random_seed();
  SCOPED_TRACE(describe(seed));
  Random random(seed);
  Region& region = Region::of_this_process();
  region.trim();
  const auto before = region.usage();
  const auto pages_before = pages_of(region.memfd());
  ReturnStack probe;
  Arena* arena = region.make_arena(&probe, 4);
  const auto addresses_before = arena->extent();
  region.retire(arena);

  struct Held : Block {
    Arena* arena;
    KeptChunks* kept;  // null once the worker is dead
  };
  std::vector<Held> held;
  std::vector<Block> own;
  std::vector<std::unique_ptr<FakeWorker>> workers;
  std::uint64_t marks = 0, owner_bytes = 0, result_bytes = 0;
  KeptChunks kept;
  const auto intact = [&](const Block& b) { return is_filled(region.at(b.offset), b.bytes, b.mark); };
  const auto release = [&](const Held& b) {
    ASSERT_TRUE(intact(b)) << "a result of " << b.bytes << " bytes has changed in the owner's hands";
    region.release(b.arena, b.offset, b.bytes);
    result_bytes -= BlockHeap::footprint(b.bytes);
    if (b.kept != nullptr) b.kept->count(b.bytes, -1);
  };
  const auto free_own = [&](const Block& b) {
    ASSERT_TRUE(intact(b)) << "a block of the owner's has changed";
    region.free(b.offset, b.bytes);
    owner_bytes -= BlockHeap::footprint(b.bytes);
    kept.count(b.bytes, -1);
  };

  const auto die = [&](FakeWorker& worker) {
    for (Held& b : held)
      if (b.arena == worker.arena) b.kept = nullptr;
    worker.heap.reset();
    region.retire(worker.arena);
  };

  for (int i = 0; i < 4; ++i) workers.push_back(std::make_unique<FakeWorker>(region));
  for (int step = 0; step < 6000 / kSlowdown; ++step) {
    auto& worker = workers[random() % workers.size()];
    const bool full = owner_bytes + result_bytes > 64 * kMiB;
    switch (random() % 16) {
      case 0:
      case 1:
      case 2:
      case 3: {  // the worker makes a result
        if (worker->results.size() > 3) break;
        const std::uint64_t bytes = any_size(random, kDoublings);
        worker->results.push_back({worker->heap->allocate(bytes), bytes, ++marks});
        fill(region.at(worker->results.back().offset), bytes, marks);
        worker->kept.count(bytes, 1);
        break;
      }
      case 4:
      case 5:
      case 6:
      case 7:  // the owner takes one
        if (worker->results.empty() || full) break;
        held.push_back({take_out(worker->results, random() % worker->results.size()), worker->arena, &worker->kept});
        region.adopt(worker->arena, held.back().offset, held.back().bytes);
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
          die(*worker);
          worker = std::make_unique<FakeWorker>(region);
        } else if (one_in(random, 4)) {
          region.trim();
        } else {
          for (const Block& b : worker->results) ASSERT_TRUE(intact(b)) << "a result of " << b.bytes << " bytes";
          if (one_in(random, 4)) worker->heap->trim();
        }
    }
    const auto usage = region.usage();
    ASSERT_EQ(usage.owner_bytes - before.owner_bytes, owner_bytes);
    ASSERT_EQ(usage.result_bytes - before.result_bytes, result_bytes);
    ASSERT_EQ(usage.blocks - before.blocks, own.size() + held.size());
  }

  for (const Block& b : own) ASSERT_NO_FATAL_FAILURE(free_own(b));
  die(*workers[0]);
  while (!held.empty()) ASSERT_NO_FATAL_FAILURE(release(take_out(held, random() % held.size())));
  EXPECT_EQ(region.usage().blocks, before.blocks);
  EXPECT_EQ(region.usage().owner_bytes, before.owner_bytes);
  EXPECT_EQ(region.usage().result_bytes, before.result_bytes);
  region.trim();
  const std::uint64_t most_kept = kept.most_bytes();
  std::uint64_t most_kept_by_workers = 0;
  for (std::size_t i = 1; i < workers.size(); ++i) {  // those that live have all of their memory back
    for (const Block& b : workers[i]->results) workers[i]->heap->free(b.offset, b.bytes);
    workers[i]->heap->trim();
    EXPECT_FALSE(workers[i]->heap->has_warm_memory());
    most_kept_by_workers += workers[i]->kept.most_bytes();
  }
  EXPECT_LE(pages_of(region.memfd()), pages_before + most_kept + most_kept_by_workers);
  for (std::size_t i = 1; i < workers.size(); ++i) die(*workers[i]);
  EXPECT_LE(pages_of(region.memfd()), pages_before + most_kept);
  arena = region.make_arena(&probe, 4);
  EXPECT_EQ(arena->extent().offset, addresses_before.offset) << "addresses are lost";
  EXPECT_EQ(arena->extent().length, addresses_before.length);
  region.retire(arena);
}

}  // namespace region_random_test
