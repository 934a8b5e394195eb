// Runs of elements: strings, vectors and the views of them. Bitwise elements are one aligned copy.
#pragma once

#include <retinue/detail/codec/encoding.hpp>

#include <algorithm>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace retinue::detail {

/// Elements that a view can point to inside a payload.
template <class T>
inline constexpr bool kReadInPlace = bitwise<T> && alignof(T) <= kPayloadAlignment;

inline std::size_t read_length(Reader& r) {
  std::uint64_t n;
  std::memcpy(&n, r.bytes(sizeof n), sizeof n);
  if (n > r.remaining()) damaged("a length is larger than what follows");
  return static_cast<std::size_t>(n);
}

template <class W>
void write_length(W& w, std::size_t n) {
  const std::uint64_t length = n;
  w.bytes(&length, sizeof length);
}

/// How many elements of T to make room for at once, given that n are announced: never much more
/// memory than the bytes that are really there.
template <class T>
std::size_t prudent_room(const Reader& r, std::size_t n) {
  return (std::min)(n, (4096 + 4 * r.remaining()) / sizeof(T) + 1);
}

/// Writes elements that are not bitwise (or not contiguous). Each owns at least one byte, so that a
/// damaged length cannot announce more elements than there are bytes.
template <class W, class Range>
void write_each(W& w, std::size_t n, const Range& range) {
  write_length(w, n);
  const std::size_t start = w.size();
  for (const auto& element : range) w.value(element);
  w.pad_to(start + n);
}

/// Reads what write_each wrote, calling add(reader) for each element.
template <class Add>
void read_each(Reader& r, std::size_t n, Add&& add) {
  const std::size_t start = r.position();
  for (std::size_t i = 0; i < n; ++i) add(r);
  r.skip_to(start + n);
}

/// Writes n bitwise elements in one piece, aligned so that they can be read in place.
template <class W, class T>
void write_run(W& w, const T* elements, std::size_t n) {
  if (n != 0) check_reach<T>(w);
  write_length(w, n);
  w.align((std::min)(alignof(T), kPayloadAlignment));
  w.bytes(elements, n * sizeof(T));
}

/// The run's bytes and its length, which is checked.
template <class T>
std::pair<const std::byte*, std::size_t> read_run(Reader& r) {
  const std::size_t n = read_length(r);
  r.align((std::min)(alignof(T), kPayloadAlignment));
  if (n > r.remaining() / sizeof(T)) damaged("a length is larger than what follows");
  return {r.bytes(n * sizeof(T)), n};
}

inline bool is_aligned(const void* p, std::size_t alignment) {
  return (reinterpret_cast<std::uintptr_t>(p) & (alignment - 1)) == 0;
}

/// A view of a run inside the payload.
template <class T>
std::span<const T> view_run(Reader& r) {
  static_assert(kReadInPlace<T>);
  const auto [bytes, n] = read_run<T>(r);
  if (!is_aligned(bytes, alignof(T))) damaged("it is not aligned to 32 bytes");
  const T* elements = std::launder(reinterpret_cast<const T*>(bytes));
  check_bools(elements, n);
  return {elements, n};
}

template <class T, class Allocator>
struct BuiltinCodec<std::vector<T, Allocator>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<T>;
  using Vector = std::vector<T, Allocator>;

  template <class W>
  static void write(W& w, const Vector& v) {
    if constexpr (bitwise<T>) write_run(w, v.data(), v.size());
    else write_each(w, v.size(), v);
  }

  static Vector read(Reader& r) {
    if constexpr (bitwise<T>) {
      const auto [bytes, n] = read_run<T>(r);
      // From pointers: the elements are copied without being zeroed first.
      if (is_aligned(bytes, alignof(T))) {
        const T* first = std::launder(reinterpret_cast<const T*>(bytes));
        check_bools(first, n);
        return Vector(first, first + n);
      }
      Vector v;
      v.reserve(n);
      Reader run(bytes, n * sizeof(T));
      for (std::size_t i = 0; i < n; ++i) {
        alignas(T) std::byte element[sizeof(T)];
        std::memcpy(element, run.bytes(sizeof(T)), sizeof(T));
        const T* read = std::launder(reinterpret_cast<const T*>(element));
        check_bools(read, 1);
        v.push_back(*read);
      }
      return v;
    } else {
      const std::size_t n = read_length(r);
      Vector v;
      v.reserve(prudent_room<T>(r, n));
      read_each(r, n, [&v](Reader& from) { v.push_back(from.value<T>()); });
      return v;
    }
  }
};

template <class Allocator>
struct BuiltinCodec<std::vector<bool, Allocator>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<>;

  template <class W>
  static void write(W& w, const std::vector<bool, Allocator>& v) {
    write_length(w, (v.size() + 7) / 8);
    const auto unused = static_cast<unsigned char>((8 - v.size() % 8) % 8);
    w.bytes(&unused, 1);
    for (std::size_t i = 0; i < v.size(); i += 8) {
      unsigned packed = 0;
      for (std::size_t k = 0; k < 8 && i + k < v.size(); ++k) packed |= static_cast<unsigned>(v[i + k]) << k;
      const auto byte = static_cast<unsigned char>(packed);
      w.bytes(&byte, 1);
    }
  }

  static std::vector<bool, Allocator> read(Reader& r) {
    const std::size_t n = read_length(r);
    const auto unused = std::to_integer<std::size_t>(*r.bytes(1));
    const std::byte* packed = r.bytes(n);
    if (unused > 7 || (n == 0 && unused != 0)) damaged("a vector of bool has no such size");
    std::vector<bool, Allocator> v(n * 8 - unused);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = ((packed[i / 8] >> (i % 8)) & std::byte{1}) != std::byte{0};
    return v;
  }
};

template <class C, class Traits, class Allocator>
struct BuiltinCodec<std::basic_string<C, Traits, Allocator>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<>;
  using String = std::basic_string<C, Traits, Allocator>;

  template <class W>
  static void write(W& w, const String& s) {
    write_run(w, s.data(), s.size());
  }

  static String read(Reader& r) {
    const auto [bytes, n] = read_run<C>(r);
    if constexpr (alignof(C) == 1) return String(reinterpret_cast<const C*>(bytes), n);
    String s(n, C());
    if (n != 0) std::memcpy(s.data(), bytes, n * sizeof(C));
    return s;
  }
};

template <class C, class Traits>
struct BuiltinCodec<std::basic_string_view<C, Traits>> {
  static constexpr bool kKnown = true;
  static constexpr bool kView = true;
  using Parts = TypeList<>;

  template <class W>
  static void write(W& w, std::basic_string_view<C, Traits> s) {
    write_run(w, s.data(), s.size());
  }

  static std::basic_string_view<C, Traits> read(Reader& r) {
    const std::span<const C> run = view_run<C>(r);
    return {run.data(), run.size()};
  }
};

/// Read in place. A span of non-const elements is written alike, but has nothing to point to when it
/// is read; as a parameter it gets a private copy (arguments.hpp).
template <class T, std::size_t extent>
struct BuiltinCodec<std::span<T, extent>> {
  using Element = std::remove_const_t<T>;
  static constexpr bool kKnown = true;
  static constexpr bool kView = true;
  using Parts = std::conditional_t<std::is_const_v<T> && kReadInPlace<Element>, TypeList<>,
                                   TypeList<Refused<std::span<T, extent>>>>;

  template <class W>
  static void write(W& w, std::span<T, extent> s) {
    if constexpr (bitwise<Element>) write_run(w, s.data(), s.size());
    else write_each(w, s.size(), s);
  }

  static std::span<T, extent> read(Reader& r) {
    const std::span<const Element> run = view_run<Element>(r);
    if constexpr (extent != std::dynamic_extent) {
      if (run.size() != extent) damaged("a span has another extent");
    }
    return std::span<T, extent>(run.data(), run.size());
  }
};

}  // namespace retinue::detail
