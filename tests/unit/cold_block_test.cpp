// Large blocks whose memory is made by writing to it.
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <retinue/error.hpp>
#include <retinue/writer.hpp>

#include "memory/block_heap.hpp"
#include "memory/cold_block.hpp"
#include "system/fault.hpp"
#include "system/memfd.hpp"

namespace cold_block_test {

using retinue::ResourceExhausted;
using retinue::Writer;
using retinue::detail::BlockHeap;
using retinue::detail::ColdBlock;
using retinue::detail::MemoryRules;
using retinue::detail::Room;

constexpr std::uint64_t kMiB = 1 << 20;

class ColdBlocks : public testing::Test {
 protected:
  ColdBlocks() {
    if (::ftruncate(memfd_.get(), kSize) != 0) throw std::runtime_error("ftruncate");
    base_ = static_cast<std::byte*>(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED, memfd_.get(), 0));
    file_.set_base(base_);
  }
  ~ColdBlocks() override {
    retinue::detail::set_fault_injector(nullptr);
    ::munmap(base_, kSize);
  }

  std::uint64_t memory() const { return file_.memory(); }
  Room room(std::uint64_t offset, std::uint64_t bytes, ColdBlock& cold) const {
    std::byte* const begin = base_ + offset;
    if (cold.is_done()) return {begin, begin + bytes, nullptr};
    return {begin, begin, &cold};
  }
  /// Writes `bytes` as pieces of random sizes with gaps between them, and compares. Gives the block's offset.
  std::uint64_t write_and_compare(std::uint64_t bytes) {
    std::vector<std::byte> expected(bytes);
    for (auto& b : expected) b = static_cast<std::byte>(random_());
    ColdBlock cold(file_);
    const std::uint64_t offset = heap_.allocate_for_writing(bytes, cold);
    Writer writer(room(offset, bytes, cold), bytes);
    while (writer.size() < bytes) {
      const std::uint64_t left = bytes - writer.size(), most = random_() % 2 == 0 ? 5000 : 3 * kMiB;
      const std::uint64_t n = std::min<std::uint64_t>(left, random_() % most);
      if (random_() % 8 == 0) {
        std::memset(expected.data() + writer.size(), 0, n);
        writer.pad_to(writer.size() + n);
      } else {
        writer.bytes(expected.data() + writer.size(), n);
      }
    }
    writer.finish();
    EXPECT_TRUE(cold.is_done());
    EXPECT_EQ(std::memcmp(base_ + offset, expected.data(), bytes), 0) << bytes;
    return offset;
  }

  static constexpr std::uint64_t kSize = 256 * kMiB;
  retinue::detail::UniqueFd memfd_ = retinue::detail::create_memfd("retinue-test");
  retinue::detail::SharedFile file_{memfd_.get()};
  std::byte* base_ = nullptr;
  MemoryRules rules_;
  BlockHeap heap_{file_, {4096, kSize - 4096}, &rules_};
  std::mt19937 random_{17};
};

TEST_F(ColdBlocks, hold_what_was_written_in_pieces_of_any_size) {
  for (int i = 0; i < 60; ++i) {
    const std::uint64_t bytes = ColdBlock::kWorthwhile + random_() % (6 * kMiB);
    const std::uint64_t offset = write_and_compare(bytes);
    EXPECT_EQ(memory(), heap_.bytes_in_use() + heap_.bytes_warm()) << "all of it is there, also behind the last byte";
    if (i % 3 != 0) heap_.free(offset, bytes);  // so that some are written to warm memory
    if (i % 7 == 0) heap_.trim();
  }
}

TEST_F(ColdBlocks, are_warm_memory_once_they_are_freed) {
  const std::uint64_t bytes = 5 * kMiB;
  const std::uint64_t first = write_and_compare(bytes);
  const std::uint64_t taken = memory();
  heap_.free(first, bytes);
  EXPECT_EQ(heap_.bytes_warm(), bytes);
  for (int again = 0; again < 5; ++again) {  // the first time it is mapped
    EXPECT_EQ(write_and_compare(bytes), first);
    EXPECT_EQ(memory(), taken);
    heap_.free(first, bytes);
    EXPECT_EQ(heap_.bytes_warm(), bytes);
  }
  ColdBlock cold(file_);
  EXPECT_EQ(heap_.allocate_for_writing(bytes, cold), first);
  EXPECT_TRUE(cold.is_done()) << "nothing to make";
  heap_.free(first, bytes);
  EXPECT_EQ(heap_.allocate(bytes), first);
  heap_.free(first, bytes);
  heap_.trim();
  EXPECT_EQ(heap_.bytes_warm(), 0u);
  EXPECT_LT(memory(), kMiB);
}

TEST_F(ColdBlocks, that_cannot_be_made_are_given_back_whole) {
  const std::vector<std::byte> bytes(8 * kMiB, std::byte{1});
  for (const char* which : {"pwrite", "fallocate"}) {
    static const char* failing;
    failing = which;
    ColdBlock cold(file_);
    const std::uint64_t offset = heap_.allocate_for_writing(bytes.size() + 100, cold);
    Writer writer(room(offset, bytes.size() + 100, cold), bytes.size() + 100);
    writer.bytes(bytes.data(), 100);
    retinue::detail::set_fault_injector(
        [](const char* call) noexcept { return std::strcmp(call, failing) == 0 ? ENOSPC : 0; });
    EXPECT_THROW(
        {
          writer.bytes(bytes.data(), bytes.size());
          writer.finish();
        },
        ResourceExhausted)
        << which;
    retinue::detail::set_fault_injector(nullptr);
    EXPECT_FALSE(cold.is_done());
    EXPECT_GT(memory(), 0u);
    heap_.abandon(offset, bytes.size() + 100);
    EXPECT_EQ(memory(), 0u);
    EXPECT_EQ(heap_.bytes_in_use(), 0u);
    EXPECT_EQ(heap_.bytes_warm(), 0u);
  }
  write_and_compare(100 * kMiB);
}

TEST_F(ColdBlocks, keep_to_the_limit) {
  rules_.limit = 10 * kMiB;
  {
    ColdBlock cold(file_);
    EXPECT_THROW(heap_.allocate_for_writing(11 * kMiB, cold), ResourceExhausted);
    EXPECT_EQ(memory(), 0u);
    const std::uint64_t offset = heap_.allocate_for_writing(9 * kMiB, cold);
    EXPECT_TRUE(cold.is_done()) << "it is reserved before it is written";
    EXPECT_GE(memory(), 9 * kMiB);
    heap_.free(offset, 9 * kMiB);
    heap_.trim();
  }
  rules_.limit = MemoryRules::kNone;
  const std::vector<std::byte> bytes(9 * kMiB);
  ColdBlock cold(file_);
  const std::uint64_t offset = heap_.allocate_for_writing(bytes.size(), cold);
  Writer writer(room(offset, bytes.size(), cold), bytes.size());
  writer.bytes(bytes.data(), bytes.size());
  rules_.limit = 5 * kMiB;  // set meanwhile
  EXPECT_THROW(writer.finish(), ResourceExhausted);
  heap_.abandon(offset, bytes.size());
  EXPECT_EQ(memory(), 0u);
}

TEST_F(ColdBlocks, are_not_begun_beyond_the_limit_of_file_sizes) {
  const rlimit before = [] {
    rlimit now{};
    ::getrlimit(RLIMIT_FSIZE, &now);
    return now;
  }();
  const rlimit low{2 * kMiB, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  ColdBlock cold(file_);
  EXPECT_THROW(heap_.allocate_for_writing(3 * kMiB, cold), ResourceExhausted) << "rather than SIGXFSZ";
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
}

TEST_F(ColdBlocks, that_are_warm_are_used_again_below_a_limit_of_file_sizes_that_was_set_later) {
  const rlimit before = [] {
    rlimit now{};
    ::getrlimit(RLIMIT_FSIZE, &now);
    return now;
  }();
  const std::uint64_t first = write_and_compare(3 * kMiB);
  heap_.free(first, 3 * kMiB);
  const rlimit low{kMiB, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  EXPECT_EQ(write_and_compare(3 * kMiB), first) << "rather than SIGXFSZ";
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
}

TEST_F(ColdBlocks, are_reserved_memory_where_the_file_cannot_be_written_to_or_huge_pages_are_wanted) {
  rules_.huge_pages_from = reinterpret_cast<std::uintptr_t>(base_);
  ColdBlock cold(file_);
  heap_.allocate_for_writing(3 * kMiB, cold);
  EXPECT_TRUE(cold.is_done());
  EXPECT_GE(memory(), 3 * kMiB);
  rules_.huge_pages_from = 0;
  memfd_.reset();  // as a program does that closes every descriptor
  const std::uint64_t bytes = 4 * kMiB;
  const std::uint64_t offset = heap_.allocate_for_writing(bytes, cold);
  EXPECT_TRUE(cold.is_done());
  std::memset(base_ + offset, 1, bytes);
}

TEST_F(ColdBlocks, refuse_a_value_that_grows_or_shrinks_while_it_is_written) {
  const std::vector<std::byte> bytes(3 * kMiB);
  ColdBlock cold(file_);
  const std::uint64_t offset = heap_.allocate_for_writing(2 * kMiB, cold);
  Writer writer(room(offset, 2 * kMiB, cold), 2 * kMiB);
  EXPECT_THROW(writer.bytes(bytes.data(), bytes.size()), retinue::CodecError);
  writer.bytes(bytes.data(), kMiB);
  EXPECT_THROW(writer.pad_to(3 * kMiB), retinue::CodecError);
  EXPECT_THROW(writer.finish(), retinue::CodecError);
  heap_.abandon(offset, 2 * kMiB);
}

}  // namespace cold_block_test
