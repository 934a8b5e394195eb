// Blocks of random sizes in a random order, each with bytes of its own: none is given twice, none is lost.
#include "support/process_watch.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <stdexcept>
#include <sys/mman.h>
#include <vector>

#include "memory/block_heap.hpp"
#include "system/memfd.hpp"
#include "random_blocks.hpp"

#include <retinue/error.hpp>

namespace block_heap_random_test {

using namespace retinue_test;
using retinue::detail::BlockHeap;

constexpr std::uint64_t kMiB = 1 << 20, kGiB = 1 << 30;
constexpr double kDoublings = 23;  // 8 MiB

/// A block heap with a file of its own, whose live blocks are known and full of their own bytes.
class Books {
 public:
  explicit Books(std::uint64_t bytes)
      : memfd_(retinue::detail::create_memfd("retinue-test")),
        file_(memfd_.get()),
        size_(kFrom + bytes),
        heap_(file_, {kFrom, bytes}) {
    if (::ftruncate(memfd_.get(), static_cast<off_t>(size_)) != 0) throw std::runtime_error("ftruncate");
    void* p = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd_.get(), 0);
    if (p == MAP_FAILED) throw std::runtime_error("mmap");
    base_ = static_cast<std::byte*>(p);
  }
  ~Books() { ::munmap(base_, size_); }

  void allocate(std::uint64_t bytes) {
    const std::uint64_t offset = heap_.allocate(bytes), footprint = BlockHeap::footprint(bytes);
    ASSERT_EQ(offset % 64, 0u);
    ASSERT_TRUE(heap_.arena().holds(offset, footprint));
    const auto [at, fresh] = taken_.emplace(offset, footprint);
    ASSERT_TRUE(fresh) << "given twice: " << offset;
    ASSERT_TRUE(at == taken_.begin() || std::prev(at)->first + std::prev(at)->second <= offset) << "overlaps";
    ASSERT_TRUE(std::next(at) == taken_.end() || offset + footprint <= std::next(at)->first) << "overlaps";
    blocks.push_back({offset, bytes, ++marks_});
    fill(base_ + offset, bytes, marks_);
    kept_.count(bytes, 1);
    in_use_ += footprint;
  }
  void free(std::size_t i) {
    const Block b = take_out(blocks, i);
    ASSERT_TRUE(is_filled(base_ + b.offset, b.bytes, b.mark)) << b.bytes << " bytes at " << b.offset << " have changed";
    heap_.free(b.offset, b.bytes);
    taken_.erase(b.offset);
    kept_.count(b.bytes, -1);
    in_use_ -= BlockHeap::footprint(b.bytes);
  }
  void expect_balance() const { ASSERT_EQ(heap_.bytes_in_use(), in_use_); }
  std::uint64_t in_use() const { return in_use_; }
  BlockHeap& heap() { return heap_; }
  std::uint64_t pages() const { return pages_of(memfd_.get()); }
  std::uint64_t most_kept() const { return kept_.most_bytes(); }

  std::vector<Block> blocks;

 private:
  static constexpr std::uint64_t kFrom = 4096;

  retinue::detail::UniqueFd memfd_;
  retinue::detail::SharedFile file_;
  std::uint64_t size_;
  BlockHeap heap_;
  std::byte* base_ = nullptr;
  std::map<std::uint64_t, std::uint64_t> taken_;  // offset -> footprint
  std::uint64_t in_use_ = 0, marks_ = 0;
  KeptChunks kept_;
};

TEST(BlockHeapRandom, no_block_overlaps_and_all_memory_comes_back) {
  const std::uint64_t seed = random_seed();
  SCOPED_TRACE(describe(seed));
  Random random(seed);
  Books books(kGiB);
  std::uint64_t most_pages = 0;
  for (int round = 0; round < 3; ++round) {  // the second and third find what the first has left
    for (int step = 0; step < 2000 / kSlowdown; ++step) {
      // Waves: now more comes than goes, now more goes than comes.
      const bool rising = step / 250 % 2 == 0;
      if (books.blocks.empty() || (books.in_use() < 96 * kMiB && random() % 10 < (rising ? 7u : 3u)))
        ASSERT_NO_FATAL_FAILURE(books.allocate(any_size(random, kDoublings)));
      else ASSERT_NO_FATAL_FAILURE(books.free(random() % books.blocks.size()));
      if (one_in(random, 100)) books.heap().trim();
      ASSERT_NO_FATAL_FAILURE(books.expect_balance());
      ASSERT_GE(books.pages(), books.in_use()) << "a block is handed out before its pages are there";
      most_pages = std::max(most_pages, books.pages());
    }
    while (!books.blocks.empty()) ASSERT_NO_FATAL_FAILURE(books.free(random() % books.blocks.size()));
    EXPECT_EQ(books.heap().bytes_in_use(), 0u);
    books.heap().trim();
    EXPECT_EQ(books.heap().bytes_warm(), 0u);
    EXPECT_LE(books.pages(), books.most_kept());
    EXPECT_LT(books.pages(), most_pages / 2);
  }
}

TEST(BlockHeapRandom, an_arena_that_is_always_full_goes_on) {
  const std::uint64_t seed = random_seed();
  SCOPED_TRACE(describe(seed));
  Random random(seed);
  Books books(16 * kMiB);
  int refused = 0;
  for (int step = 0; step < 4000 / kSlowdown; ++step) {
    try {
      ASSERT_NO_FATAL_FAILURE(books.allocate(any_size(random, kDoublings)));
    } catch (const retinue::ResourceExhausted&) {
      ++refused;
      for (std::size_t n = books.blocks.size() / 3 + 1; n > 0 && !books.blocks.empty(); --n)
        ASSERT_NO_FATAL_FAILURE(books.free(random() % books.blocks.size()));
    }
    ASSERT_NO_FATAL_FAILURE(books.expect_balance());
  }
  EXPECT_GT(refused, 0);
  while (!books.blocks.empty()) ASSERT_NO_FATAL_FAILURE(books.free(0));
  books.heap().trim();
  EXPECT_LE(books.pages(), books.most_kept());
}

}  // namespace block_heap_random_test
