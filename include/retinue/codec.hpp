// How C++ values become the bytes of a payload, and how to teach a type of your own to.
//
// Most types need nothing: numbers, enums, trivially copyable types without pointers, the standard
// containers, string, optional, variant, tuple, pair, unique_ptr, chrono, path, function pointers,
// closures that captured such values trivially, and plain aggregates of all these (up to 32 fields,
// no base classes). Raw pointers, references, shared_ptr, std::function and types that hide their
// state do not travel: using one is a compile-time error that names it.
//
// Owner and workers are the same program, so there is no schema and no byte order to agree on. Every
// read is checked all the same, since a worker may have damaged its memory before it died.
//
// Thread-safety: encoding and decoding touch only their own arguments; any number of threads may do
// so at once, each with its own writer or reader.
#pragma once

#include <retinue/detail/data/bitwise.hpp>
#include <retinue/error.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace retinue {

class Reader;

namespace detail {

struct ModuleTable;

/// The deepest nesting of aggregates and of types with a Codec; recursive types end here, not the stack.
inline constexpr int kMaxDepth = 1000;
/// Payloads start at addresses that are a multiple of this.
inline constexpr std::size_t kPayloadAlignment = 32;

[[noreturn, gnu::cold, gnu::noinline]] inline void damaged(const char* what) {
  throw CodecError(std::string("damaged or truncated payload: ") + what);
}
[[noreturn, gnu::cold, gnu::noinline]] inline void too_deep() {
  throw CodecError("a value is nested more than " + std::to_string(kMaxDepth) +
                   " levels deep; give its type a retinue::Codec that writes it without recursion");
}
[[noreturn, gnu::cold, gnu::noinline]] inline void changed_while_encoded() {
  throw CodecError("a value changed while it was encoded, or its Codec writes different bytes when asked twice");
}

/// Counts one level of nesting for the time it lives.
class Level {
 public:
  explicit Level(int& depth) : depth_(depth) {
    if (++depth_ > kMaxDepth) {
      --depth_;
      too_deep();
    }
  }
  Level(const Level&) = delete;
  Level& operator=(const Level&) = delete;
  ~Level() { --depth_; }

 private:
  int& depth_;
};

template <class W, class T>
void encode(W& w, const T& value);
template <class T>
T decode(Reader& r);
template <class T>
consteval bool travels();

}  // namespace detail

/// A type that can be an argument, a capture or a result of a task.
///
///     static_assert(retinue::Travels<std::map<std::string, std::vector<double>>>);
///     static_assert(!retinue::Travels<int*>);
template <class T>
concept Travels = std::is_object_v<T> && !std::is_array_v<T> && detail::travels<std::remove_cv_t<T>>();

/// The writer that only counts: how many bytes will a value take? Same interface as Writer, so a
/// Codec's `write` is a template over both and is called once with each.
class SizeCounter {
 public:
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

  std::size_t size() const noexcept { return size_; }
  /// Counts at least up to `offset` from the start.
  void pad_to(std::size_t offset) noexcept { size_ = size_ < offset ? offset : size_; }
  int& depth() noexcept { return depth_; }

 private:
  std::size_t size_ = 0;
  int depth_ = 0;
};

/// The writer that writes, into memory it does not own. Throws CodecError rather than write past the
/// end: a value that grows between the count and the write does not do damage.
class Writer {
 public:
  Writer(std::byte* to, std::size_t n) noexcept : begin_(to), at_(to), end_(to + n) {}

  /// Appends n bytes.
  void bytes(const void* from, std::size_t n) {
    if (n > static_cast<std::size_t>(end_ - at_)) detail::changed_while_encoded();
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

  /// The number of bytes written so far.
  std::size_t size() const noexcept { return static_cast<std::size_t>(at_ - begin_); }
  /// Appends zeros up to `offset` from the start, if that is not behind us.
  void pad_to(std::size_t offset) {
    const std::size_t now = size();
    if (offset <= now) return;
    if (offset > static_cast<std::size_t>(end_ - begin_)) detail::changed_while_encoded();
    std::memset(at_, 0, offset - now);
    at_ += offset - now;
  }
  /// Throws CodecError unless exactly the announced number of bytes was written.
  void finish() const {
    if (at_ != end_) detail::changed_while_encoded();
  }
  int& depth() noexcept { return depth_; }

 private:
  std::byte* begin_;
  std::byte* at_;
  std::byte* end_;
  int depth_ = 0;
};

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

/// The customisation point. Specialise it before the type is first used with a pool:
///
///     template <>
///     struct retinue::Codec<geo::Polygon> {
///       template <class W>
///       static void write(W& w, const geo::Polygon& p) { w(p.name(), p.corners()); }
///       static geo::Polygon read(retinue::Reader& r) {
///         auto name = r.value<std::string>();
///         return geo::Polygon(std::move(name), r.value<std::vector<geo::Point>>());
///       }
///     };
///
/// `write` is called twice, to count and to write, and must write the same both times. `read` must
/// check what it depends on and throw CodecError: its bytes may be damaged. A Codec comes before
/// everything Retinue would do by itself. Types with a cereal-style `serialize` need none: include
/// <retinue/cereal.hpp>.
template <class T>
struct Codec;

}  // namespace retinue

#include <retinue/detail/data/form.hpp>

#include <retinue/detail/data/aggregate.hpp>
#include <retinue/detail/data/containers.hpp>
#include <retinue/detail/data/functions.hpp>
#include <retinue/detail/data/ranges.hpp>
#include <retinue/detail/data/values.hpp>
