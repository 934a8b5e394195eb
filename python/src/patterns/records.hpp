// Byte strings in a row, in as little memory as they need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>

namespace retinue::python {

/// A queue of records: what a map has read and not submitted yet, and results that it has taken before they are asked
/// for. A record costs its bytes and four more. Records lie one behind the other, unaligned, in chunks that are freed
/// as their last record goes; the first chunk is small, for most maps are. Used by one thread at a time.
class Records {
 public:
  struct Record {
    std::span<const std::byte> bytes;
    bool marked = false;
  };

  /// Room for a record of so many bytes, which is there once it is committed. Throws bad_alloc.
  std::byte* reserve(std::size_t bytes, bool marked);
  void commit() noexcept { ++count_; }

  bool empty() const noexcept { return count_ == 0; }
  std::size_t count() const noexcept { return count_; }
  /// What the records take, without what is left of the last chunk.
  std::size_t bytes() const noexcept { return bytes_; }
  /// The oldest; there must be one. Good until it is popped.
  Record front() const noexcept;
  void pop() noexcept;
  void clear() noexcept;

  /// What a record takes beside its bytes, if these are fewer than a gigabyte.
  static constexpr std::size_t kHead = sizeof(std::uint32_t);

 private:
  static constexpr std::size_t kFirstChunk = 1024, kChunk = 64 * 1024;
  struct Chunk {
    std::unique_ptr<std::byte[]> data;
    std::size_t size = 0, end = 0;
  };
  struct Head {
    std::size_t head, size;
    bool marked;
  };
  static Head read_head(const std::byte* at) noexcept;

  std::deque<Chunk> chunks_;
  std::size_t begin_ = 0;  // of the oldest record, in the first chunk
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace retinue::python
