// Where a Codec reads from.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <retinue/detail/codec/checks.hpp>

#include <cstddef>

namespace retinue {

namespace detail {
struct ModuleTable;
}

/// Reads values back in the order they were written. Views (string_view, span of const) that it
/// returns point into the payload and live as long as that does. Throws CodecError on any bytes that
/// a Writer would not have written; never reads outside of them.
class Reader {
 public:
  /// `table` names the modules that function pointers in the payload belong to: the pool's in a
  /// worker, nullptr for those of this process.
  Reader(const std::byte* from, std::size_t n, const detail::ModuleTable* table = nullptr) noexcept
      : modules(table), begin_(from), at_(from), end_(from + n) {}

  /// The next n bytes, passed over.
  const std::byte* bytes(std::size_t n) {
    if (n > remaining()) detail::damaged("it ends too early");
    const std::byte* p = at_;
    at_ += n;
    return p;
  }
  /// Passes over what Writer::align wrote.
  void align(std::size_t alignment) { skip_to((position() + alignment - 1) & ~(alignment - 1)); }
  /// The next value.
  template <class T>
  T value() {
    return detail::decode<T>(*this);
  }

  std::size_t remaining() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  /// The number of bytes read so far.
  std::size_t position() const noexcept { return static_cast<std::size_t>(at_ - begin_); }
  /// Passes over what Writer::pad_to wrote.
  void skip_to(std::size_t offset) {
    if (offset > position()) bytes(offset - position());
  }
  /// Throws CodecError unless everything was read.
  void finish() const {
    if (at_ != end_) detail::damaged("bytes are left over");
  }
  int& depth() noexcept { return depth_; }

  const detail::ModuleTable* modules;

 private:
  const std::byte* begin_;
  const std::byte* at_;
  const std::byte* end_;
  int depth_ = 0;
};

}  // namespace retinue
