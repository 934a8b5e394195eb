// Where a Codec writes to: what counts the bytes of a value, and what writes them.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <retinue/detail/codec/checks.hpp>
#include <retinue/detail/codec/room.hpp>

#include <cstddef>
#include <cstring>

namespace retinue {

/// The writer that only counts: how many bytes will a value take? Same interface as Writer, so a
/// Codec's `write` is a template over both and is called once with each.
class SizeCounter {
 public:
  explicit SizeCounter(Reach reach = Reach::same_region) noexcept : reach_(reach) {}

  /// Counts n bytes.
  void bytes(const void*, std::size_t n) noexcept { size_ += n; }
  /// Counts up to the next multiple of `alignment`, a power of two.
  void align(std::size_t alignment) noexcept { size_ = (size_ + alignment - 1) & ~(alignment - 1); }
  /// Counts one value of any type that travels.
  template <class T>
  void value(const T& v) {
    detail::encode(*this, v);
  }
  /// Counts several values, one after the other.
  template <class... T>
  void operator()(const T&... v) {
    (detail::encode(*this, v), ...);
  }

  /// Whether the reader has this process's shared memory: a Codec may then write the name of a block, else its content.
  bool shares_memory() const noexcept { return reach_ == Reach::same_region; }
  std::size_t size() const noexcept { return size_; }
  /// Counts at least up to `offset` from the start.
  void pad_to(std::size_t offset) noexcept { size_ = size_ < offset ? offset : size_; }
  int& depth() noexcept { return depth_; }

 private:
  std::size_t size_ = 0;
  int depth_ = 0;
  Reach reach_;
};

/// The writer that writes, into memory it does not own. Throws CodecError rather than write past the
/// end: a value that grows between the count and the write does not do damage.
class Writer {
 public:
  Writer(std::byte* to, std::size_t n, Reach reach = Reach::same_region) noexcept
      : begin_(to), at_(to), ready_(to + n), end_(to + n), reach_(reach) {}
  /// Into room for n bytes, some of which may still have to be made. Functions then throw ResourceExhausted, too.
  Writer(const detail::Room& room, std::size_t n, Reach reach = Reach::same_region) noexcept
      : begin_(room.begin),
        at_(room.begin),
        ready_(room.ready),
        end_(room.begin + n),
        maker_(room.maker),
        reach_(reach) {}

  /// Appends n bytes.
  void bytes(const void* from, std::size_t n) {
    if (n > static_cast<std::size_t>(ready_ - at_)) return make_and_append(from, n);
    if (n != 0) std::memcpy(at_, from, n);
    at_ += n;
  }
  /// Appends zeros until the offset from the payload's start is a multiple of `alignment`.
  void align(std::size_t alignment) { pad_to((size() + alignment - 1) & ~(alignment - 1)); }
  /// Appends one value of any type that travels.
  template <class T>
  void value(const T& v) {
    detail::encode(*this, v);
  }
  /// Appends several values, one after the other.
  template <class... T>
  void operator()(const T&... v) {
    (detail::encode(*this, v), ...);
  }

  /// As SizeCounter's.
  bool shares_memory() const noexcept { return reach_ == Reach::same_region; }
  /// The number of bytes written so far.
  std::size_t size() const noexcept { return static_cast<std::size_t>(at_ - begin_); }
  /// Appends zeros up to `offset` from the start, if that is not behind us.
  void pad_to(std::size_t offset) {
    const std::size_t now = size();
    if (offset <= now) return;
    if (offset > static_cast<std::size_t>(ready_ - begin_)) return make_and_append(nullptr, offset - now);
    std::memset(at_, 0, offset - now);
    at_ += offset - now;
  }
  /// Throws CodecError unless exactly the announced number of bytes was written.
  void finish() const {
    if (at_ != end_) detail::changed_while_encoded();
    if (maker_ != nullptr) [[unlikely]]
      maker_->finish();
  }
  int& depth() noexcept { return depth_; }

 private:
  [[gnu::cold]] void make_and_append(const void* from, std::size_t n) {
    if (maker_ == nullptr || n > static_cast<std::size_t>(end_ - at_)) detail::changed_while_encoded();
    ready_ = maker_->append(at_, from, n);
    at_ += n;
  }

  std::byte* begin_;
  std::byte* at_;
  std::byte* ready_;  // memory is there up to here
  std::byte* end_;    // of what was announced
  detail::MemoryMaker* maker_ = nullptr;
  int depth_ = 0;
  Reach reach_;
};

}  // namespace retinue
