// What tests with random blocks of memory share: a seed that can be given again, sizes, and bytes to know a block by.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <sys/stat.h>

#include "memory/block_heap.hpp"

namespace retinue_test {

/// Another one each time, or RETINUE_TEST_SEED from the environment. Print it with SCOPED_TRACE(describe(seed)).
inline std::uint64_t random_seed() {
  if (const char* given = std::getenv("RETINUE_TEST_SEED")) return std::strtoull(given, nullptr, 0);
  return std::random_device{}();
}
inline std::string describe(std::uint64_t seed) { return "to repeat: RETINUE_TEST_SEED=" + std::to_string(seed); }

using Random = std::mt19937_64;
inline bool one_in(Random& random, unsigned n) { return random() % n == 0; }
/// From 1 to 2^`doublings`, as many between 1 and 2 as between 1 MiB and 2 MiB.
inline std::uint64_t any_size(Random& random, double doublings) {
  return static_cast<std::uint64_t>(std::exp2(std::uniform_real_distribution<double>(0, doublings)(random)));
}

/// Bytes that differ from those of other marks and from place to place. Reading them back finds any that changed.
inline void fill(void* to, std::uint64_t bytes, std::uint64_t mark) {
  auto* at = static_cast<std::byte*>(to);
  std::uint64_t word = mark * 0x9e3779b97f4a7c15 + bytes;
  for (; bytes >= sizeof word; bytes -= sizeof word, at += sizeof word, word += 0xbf58476d1ce4e5b9)
    std::memcpy(at, &word, sizeof word);
  std::memcpy(at, &word, bytes);
}
inline bool is_filled(const void* from, std::uint64_t bytes, std::uint64_t mark) {
  const auto* at = static_cast<const std::byte*>(from);
  std::uint64_t word = mark * 0x9e3779b97f4a7c15 + bytes, differences = 0, found = 0;
  for (; bytes >= sizeof word; bytes -= sizeof word, at += sizeof word, word += 0xbf58476d1ce4e5b9) {
    std::memcpy(&found, at, sizeof found);
    differences |= found ^ word;
  }
  return differences == 0 && std::memcmp(at, &word, bytes) == 0;
}

/// The memory that a file takes, in bytes.
inline std::uint64_t pages_of(int fd) {
  struct stat s{};
  ::fstat(fd, &s);
  return static_cast<std::uint64_t>(s.st_blocks) * 512;
}

struct Block {
  std::uint64_t offset, bytes, mark;
};

constexpr std::uint64_t kSmall = 64 * 1024;  // the largest block that a heap cuts from a chunk
constexpr std::uint64_t kChunk = 256 * 1024;

/// What a heap keeps of its memory for ever: the chunks of the small blocks that it had at the most.
class KeptChunks {
 public:
  void count(std::uint64_t bytes, int change) {
    if (bytes > kSmall) return;
    Class& c = classes_[retinue::detail::BlockHeap::footprint(bytes)];
    c.live += change;
    c.most = std::max(c.most, c.live);
  }
  std::uint64_t most_bytes() const {
    std::uint64_t cut = 0;
    for (const auto& [size, c] : classes_) cut += size * static_cast<std::uint64_t>(c.most);
    return (cut / (kChunk - kSmall) + 1) * kChunk;  // the end of a chunk is given up when no block fits it
  }

 private:
  struct Class {
    int live = 0, most = 0;
  };
  std::map<std::uint64_t, Class> classes_;
};

/// Takes the element at `i` out of a vector whose order does not matter.
template <class V>
typename V::value_type take_out(V& all, std::size_t i) {
  auto taken = std::move(all[i]);
  all[i] = std::move(all.back());
  all.pop_back();
  return taken;
}

}  // namespace retinue_test
