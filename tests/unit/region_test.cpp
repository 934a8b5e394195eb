// The region: blocks, arenas of workers, and what a worker may not do to the owner's books.
#include "support/process_watch.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <sys/mman.h>
#include <sys/resource.h>
#include <thread>
#include <vector>

#include <retinue/error.hpp>

#include "memory/address_space.hpp"
#include "memory/block_heap.hpp"
#include "memory/region.hpp"
#include "system/fault.hpp"
#include "system/memfd.hpp"

namespace region_test {

using namespace retinue_test;
using retinue::CodecError;
using retinue::ResourceExhausted;
using retinue::detail::Arena;
using retinue::detail::BlockHeap;
using retinue::detail::Extent;
using retinue::detail::Region;
using retinue::detail::ReturnStack;

constexpr std::uint64_t kMiB = 1 << 20;

// BlockHeap ----------------------------------------------------------------------------------------

/// A block heap over a memfd of its own.
struct OwnHeap {
  explicit OwnHeap(std::uint64_t bytes = 64 * kMiB, std::uint64_t from = 4096)
      : memfd(retinue::detail::create_memfd("retinue-test")),
        file(memfd.get()),
        size(bytes + from),
        heap(file, {from, bytes}) {
    if (::ftruncate(memfd.get(), static_cast<off_t>(size)) != 0) throw std::runtime_error("ftruncate");
    base = static_cast<std::byte*>(
        ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd.get(), 0));
  }
  ~OwnHeap() { ::munmap(base, size); }
  std::uint64_t pages() const {
    struct stat s{};
    ::fstat(memfd.get(), &s);
    return static_cast<std::uint64_t>(s.st_blocks) * 512;
  }
  retinue::detail::UniqueFd memfd;
  retinue::detail::SharedFile file;
  std::uint64_t size;
  BlockHeap heap;
  std::byte* base = nullptr;
};

TEST(BlockHeap, a_footprint_is_enough_and_not_much_more) {
  for (std::uint64_t n = 0; n <= 70'000; ++n) {
    const auto f = BlockHeap::footprint(n);
    ASSERT_GE(f, n);
    ASSERT_EQ(f % BlockHeap::kAlignment, 0u);
    if (n > 256 && n <= 65'536) {
      ASSERT_LE(f, n + n / 4 + 64) << n;
    }
  }
  for (const std::uint64_t n : {kMiB, 50 * kMiB, std::uint64_t{1} << 40}) {
    EXPECT_GE(BlockHeap::footprint(n), n);
    EXPECT_LE(BlockHeap::footprint(n), n + 65'536);
  }
}

TEST(BlockHeap, blocks_never_overlap_and_keep_their_bytes) {
  OwnHeap own;
  std::mt19937 random(11);
  struct Block {
    std::uint64_t offset, bytes;
    unsigned char mark;
  };
  std::vector<Block> live;
  std::map<std::uint64_t, std::uint64_t> extents;
  auto size = [&]() -> std::uint64_t {
    switch (random() % 4) {
      case 0: return random() % 300;
      case 1: return random() % 5000;
      case 2: return random() % 70'000;
      default: return random() % 500'000;
    }
  };
  for (int step = 0; step < 6000 / kSlowdown; ++step) {
    if (live.size() > 60 || (random() % 2 == 0 && !live.empty())) {
      const std::size_t i = random() % live.size();
      const Block b = live[i];
      for (std::uint64_t k = 0; k < b.bytes; k += 97)
        ASSERT_EQ(static_cast<unsigned char>(own.base[b.offset + k]), b.mark) << "somebody wrote into a live block";
      own.heap.free(b.offset, b.bytes);
      extents.erase(b.offset);
      live[i] = live.back();
      live.pop_back();
      if (random() % 50 == 0) own.heap.trim();
    } else {
      Block b{0, size(), static_cast<unsigned char>(1 + random() % 255)};
      b.offset = own.heap.allocate(b.bytes);
      ASSERT_EQ(b.offset % BlockHeap::kAlignment, 0u);
      ASSERT_TRUE(own.heap.arena().holds(b.offset, BlockHeap::footprint(b.bytes)));
      const auto after = extents.lower_bound(b.offset);
      if (after != extents.end()) {
        ASSERT_LE(b.offset + BlockHeap::footprint(b.bytes), after->first);
      }
      if (after != extents.begin()) {
        ASSERT_LE(std::prev(after)->first + std::prev(after)->second, b.offset);
      }
      extents[b.offset] = BlockHeap::footprint(b.bytes);
      std::memset(own.base + b.offset, b.mark, b.bytes);
      live.push_back(b);
    }
  }
  for (const Block& b : live) own.heap.free(b.offset, b.bytes);
  EXPECT_EQ(own.heap.bytes_in_use(), 0u);
}

TEST(BlockHeap, freed_memory_is_used_first_and_returned_to_the_system_by_trim) {
  OwnHeap own;
  const auto a = own.heap.allocate(10 * kMiB);
  std::memset(own.base + a, 1, 10 * kMiB);
  own.heap.free(a, 10 * kMiB);
  EXPECT_GE(own.heap.bytes_warm(), 10 * kMiB);
  const auto pages = own.pages();
  EXPECT_EQ(own.heap.allocate(10 * kMiB), a);
  EXPECT_EQ(own.pages(), pages) << "warm memory is used again";
  own.heap.free(a, 10 * kMiB);
  own.heap.trim();
  EXPECT_EQ(own.heap.bytes_warm(), 0u);
  EXPECT_LT(own.pages(), kMiB);
  EXPECT_EQ(own.heap.allocate(10 * kMiB), a) << "its addresses are still there";
}

TEST(BlockHeap, trim_leaves_live_blocks_alone) {
  OwnHeap own;
  std::vector<std::uint64_t> blocks;
  for (int i = 0; i < 40; ++i) {
    blocks.push_back(own.heap.allocate(200'000));
    std::memset(own.base + blocks.back(), i + 1, 200'000);
  }
  for (std::size_t i = 0; i < 40; i += 2) own.heap.free(blocks[i], 200'000);
  own.heap.trim();
  for (std::size_t i = 1; i < 40; i += 2)
    for (std::uint64_t k = 0; k < 200'000; k += 1009)
      ASSERT_EQ(static_cast<std::size_t>(own.base[blocks[i] + k]), i + 1);
}

TEST(BlockHeap, an_arena_that_is_used_up_says_so_and_recovers) {
  OwnHeap own(8 * kMiB);
  std::vector<std::uint64_t> blocks;
  auto e = thrown_by<ResourceExhausted>([&] {
    for (;;) blocks.push_back(own.heap.allocate(kMiB));
  });
  ASSERT_TRUE(e);
  EXPECT_EQ(blocks.size(), 8u);
  EXPECT_THROW(own.heap.allocate(300), ResourceExhausted);
  EXPECT_THROW(own.heap.allocate(~std::uint64_t{0}), ResourceExhausted);
  EXPECT_THROW(own.heap.allocate(~std::uint64_t{0} - 100), ResourceExhausted);
  for (const auto b : blocks) own.heap.free(b, kMiB);
  EXPECT_EQ(own.heap.bytes_in_use(), 0u);
  EXPECT_NO_THROW(own.heap.allocate(8 * kMiB - 65'536));
}

TEST(BlockHeap, small_blocks_do_not_bar_large_ones_for_ever) {
  OwnHeap own(8 * kMiB);
  std::vector<std::uint64_t> blocks;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 100; ++i) blocks.push_back(own.heap.allocate(3000));
    for (const auto b : blocks) own.heap.free(b, 3000);
    blocks.clear();
  }
  EXPECT_NO_THROW(own.heap.free(own.heap.allocate(4 * kMiB), 4 * kMiB));
}

TEST(BlockHeap, a_failed_reservation_loses_nothing) {
  OwnHeap own;
  retinue::detail::set_fault_injector(
      [](const char* call) noexcept { return std::strcmp(call, "fallocate") == 0 ? ENOSPC : 0; });
  auto e = thrown_by<ResourceExhausted>([&] { own.heap.allocate(kMiB); });
  auto small = thrown_by<ResourceExhausted>([&] { own.heap.allocate(100); });
  retinue::detail::set_fault_injector(nullptr);
  ASSERT_TRUE(e && small);
  EXPECT_EQ(e->error_number(), ENOSPC);
  EXPECT_EQ(own.heap.bytes_in_use(), 0u);
  EXPECT_NO_THROW(own.heap.allocate(60 * kMiB));
}

// Region -------------------------------------------------------------------------------------------

TEST(Region, control_memory_comes_zeroed_also_where_a_dead_worker_left_pages_that_could_not_be_freed) {
  Region& region = Region::of_this_process();
  retinue::detail::ReturnStack home;
  retinue::detail::Arena* arena = region.make_arena(&home, 1024);
  const retinue::detail::Extent extent = arena->extent();
  retinue::detail::reserve(region.memfd(), extent.offset, kMiB);
  std::memset(region.at(extent.offset), 0x55, kMiB);
  retinue::detail::set_fault_injector(
      [](const char* call) noexcept { return std::strcmp(call, "punch_hole") == 0 ? ENOMEM : 0; });
  region.retire(arena);
  retinue::detail::set_fault_injector(nullptr);
  const retinue::detail::Extent control = region.allocate_control(kMiB);
  ASSERT_EQ(control.offset, extent.offset);
  const std::byte* from = region.at(control.offset);
  EXPECT_EQ(std::count(from, from + control.length, std::byte{0}), static_cast<std::ptrdiff_t>(control.length));
  region.free_control(control);
}

TEST(Region, is_one_for_a_process_and_another_in_its_child) {
  Region& region = Region::of_this_process();
  EXPECT_EQ(&region, &Region::of_this_process());
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    ::_exit(&Region::of_this_process() != &region && Region::of_this_process().memfd() != region.memfd() ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(Region, making_it_in_several_threads_makes_one) {
  const ChildEnd end = in_child([] {
    std::set<Region*> seen;
    std::mutex mutex;
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t)
      threads.emplace_back([&] {
        Region* r = &Region::of_this_process();
        const std::lock_guard lock(mutex);
        seen.insert(r);
      });
    for (auto& thread : threads) thread.join();
    return static_cast<int>(seen.size());
  });
  EXPECT_TRUE(end.exited_with(1)) << end;
}

TEST(Region, its_file_has_no_name_and_grows_no_core_dump) {
  Region::of_this_process();
  const std::string maps = text_of("/proc/self/smaps");
  const auto at = maps.find("memfd:retinue ");
  ASSERT_NE(at, std::string::npos);
  const auto flags = maps.find("VmFlags:", at);
  EXPECT_NE(maps.substr(flags, 80).find(" dd"), std::string::npos) << maps.substr(flags, 80);
}

TEST(Region, blocks_are_counted) {
  Region& region = Region::of_this_process();
  const auto before = region.usage();
  const auto a = region.allocate(100), b = region.allocate(kMiB);
  EXPECT_EQ(region.usage().blocks, before.blocks + 2);
  EXPECT_EQ(region.usage().owner_bytes, before.owner_bytes + BlockHeap::footprint(100) + BlockHeap::footprint(kMiB));
  EXPECT_TRUE(region.holds(region.at(a)));
  EXPECT_EQ(region.offset_of(region.at(b)), b);
  EXPECT_FALSE(region.holds(&region));
  region.free(a, 100);
  region.free(b, kMiB);
  EXPECT_EQ(region.usage().blocks, before.blocks);
  EXPECT_EQ(region.usage().owner_bytes, before.owner_bytes);
}

TEST(Region, control_memory_comes_zeroed_also_the_second_time) {
  Region& region = Region::of_this_process();
  for (int round = 0; round < 5; ++round) {
    const Extent e = region.allocate_control(100'000);
    EXPECT_EQ(e.offset % 4096, 0u);
    for (std::uint64_t k = 0; k < 100'000; ++k) ASSERT_EQ(region.at(e.offset)[k], std::byte{0});
    std::memset(region.at(e.offset), 0xff, e.length);
    region.free_control(e);
  }
}

/// An arena with blocks that a worker would have written.
struct OwnPart {
  ReturnStack stack;
  Region& region = Region::of_this_process();
  Arena* arena = region.make_arena(&stack, 2);
  std::uint64_t at(std::uint64_t offset) const { return arena->extent().offset + offset; }
};

TEST(Region, a_result_passes_into_the_owners_hands_and_back) {
  OwnPart own;
  const auto before = own.region.usage().blocks;
  own.region.adopt(own.arena, own.at(0), 1000);
  own.region.adopt(own.arena, own.at(4096), 5000);
  EXPECT_EQ(own.region.usage().blocks, before + 2);
  own.region.release(own.arena, own.at(0), 1000);
  own.region.release(own.arena, own.at(4096), 5000);
  EXPECT_EQ(own.region.usage().blocks, before);
  std::vector<std::uint64_t> returned;
  for (std::uint64_t offset = own.stack.top.load(); offset != 0;) {
    returned.push_back(offset);
    std::memcpy(&offset, own.region.at(offset), sizeof offset);
  }
  EXPECT_EQ(returned, (std::vector<std::uint64_t>{own.at(4096), own.at(0)}));
  own.region.retire(own.arena);
}

TEST(Region, a_result_outside_of_its_arena_is_refused) {
  OwnPart own;
  const Extent e = own.arena->extent();
  const auto before = own.region.usage().blocks;
  const std::pair<std::uint64_t, std::uint64_t> wrong[] = {{0, 100},
                                                           {e.offset - 64, 100},
                                                           {e.end(), 1},
                                                           {e.end() - 64, 100},
                                                           {e.offset, e.length + 1},
                                                           {e.offset + 1, 10},
                                                           {e.offset, ~std::uint64_t{0}},
                                                           {~std::uint64_t{0} - 63, 128},
                                                           {e.offset, ~std::uint64_t{0} - 64}};
  for (const auto& [offset, bytes] : wrong)
    EXPECT_THROW(own.region.adopt(own.arena, offset, bytes), CodecError) << offset << " " << bytes;
  EXPECT_EQ(own.region.usage().blocks, before);
  own.region.retire(own.arena);
}

TEST(Region, the_same_memory_cannot_be_two_results) {
  OwnPart own;
  own.region.adopt(own.arena, own.at(64 * 1024), 5000);
  EXPECT_THROW(own.region.adopt(own.arena, own.at(64 * 1024), 5000), CodecError);
  EXPECT_THROW(own.region.adopt(own.arena, own.at(64 * 1024 + 64), 10), CodecError);
  EXPECT_THROW(own.region.adopt(own.arena, own.at(64 * 1024 - 64), 5000), CodecError);
  EXPECT_THROW(own.region.adopt(own.arena, own.at(0), 200'000), CodecError);
  EXPECT_NO_THROW(own.region.adopt(own.arena, own.at(0), 5000));
  own.region.release(own.arena, own.at(0), 5000);
  own.region.release(own.arena, own.at(64 * 1024), 5000);
  own.region.retire(own.arena);
}

TEST(Region, a_retired_arena_keeps_what_the_owner_holds_and_frees_the_rest) {
  OwnPart own;
  Region& region = own.region;
  auto pages = [&] {
    struct stat s{};
    ::fstat(region.memfd(), &s);
    return static_cast<std::uint64_t>(s.st_blocks) * 512;
  };
  const auto before = pages();
  const std::uint64_t held = own.at(3 * kMiB), rest = own.at(0);
  std::memset(region.at(rest), 1, 3 * kMiB);
  std::memset(region.at(held), 2, kMiB);
  std::memset(region.at(held) + kMiB, 3, 2 * kMiB);
  region.adopt(own.arena, held, kMiB);
  EXPECT_GE(pages(), before + 6 * kMiB);
  region.retire(own.arena);
  EXPECT_LE(pages(), before + kMiB + 256 * 1024);
  for (std::uint64_t k = 0; k < kMiB; k += 511) ASSERT_EQ(region.at(held)[k], std::byte{2});
  // Its addresses are not given to others while it lives.
  OwnPart other;
  EXPECT_FALSE(other.arena->extent().holds(held, 1));
  EXPECT_FALSE(Extent({held, kMiB}).holds(other.arena->extent().offset, 1));
  region.release(own.arena, held, kMiB);
  EXPECT_LE(pages(), before + 256 * 1024);
  region.retire(other.arena);
}

TEST(Region, arenas_come_and_go_without_using_up_the_addresses) {
  Region& region = Region::of_this_process();
  for (int i = 0; i < 3000; ++i) {
    OwnPart own;
    ASSERT_GE(own.arena->extent().length, kMiB);
    region.retire(own.arena);
  }
}

TEST(Region, held_results_of_many_dead_workers_cost_what_they_hold) {
  Region& region = Region::of_this_process();
  std::vector<std::pair<Arena*, std::uint64_t>> held;
  std::vector<std::unique_ptr<ReturnStack>> stacks;
  for (int i = 0; i < 500; ++i) {
    stacks.push_back(std::make_unique<ReturnStack>());
    Arena* arena = region.make_arena(stacks.back().get(), 1);
    const std::uint64_t offset = arena->extent().offset;
    region.adopt(arena, offset, 1000);
    region.retire(arena);
    held.emplace_back(arena, offset);
  }
  for (const auto& [arena, offset] : held) region.release(arena, offset, 1000);
}

TEST(Region, is_used_by_many_threads_at_once) {
  Region& region = Region::of_this_process();
  const auto before = region.usage();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      std::vector<std::pair<std::uint64_t, std::uint64_t>> live;
      for (int i = 0; i < 2000 / kSlowdown; ++i) {
        const std::uint64_t bytes = 1 + random() % 20'000;
        const auto offset = region.allocate(bytes);
        std::memset(region.at(offset), t + 1, bytes);
        live.emplace_back(offset, bytes);
        if (live.size() > 10) {
          const auto [o, n] = live[random() % live.size()];
          for (std::uint64_t k = 0; k < n; k += 61)
            if (static_cast<int>(region.at(o)[k]) != t + 1) ++wrong;
          std::erase(live, std::pair{o, n});
          region.free(o, n);
        }
        if (i % 300 == 0) region.trim();
      }
      for (const auto& [o, n] : live) region.free(o, n);
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(region.usage().blocks, before.blocks);
}

}  // namespace region_test
