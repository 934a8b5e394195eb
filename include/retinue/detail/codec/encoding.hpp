// The one place that decides how a type is written: by its own Codec, by its bytes, by a built-in codec for its
// kind, or field by field.
#pragma once

#include <retinue/detail/codec/bools.hpp>
#include <retinue/detail/codec/checks.hpp>
#include <retinue/detail/codec/reach.hpp>
#include <retinue/reader.hpp>
#include <retinue/writer.hpp>

#include <limits>
#include <new>

namespace retinue::detail {

/// How one kind of standard type (vectors, optionals, ...) is written. A specialisation has
///
///     static constexpr bool kKnown = true;
///     using Parts = TypeList<...>;                      // what must travel for this to travel
///     template <class W> static void write(W&, const T&);
///     static T read(Reader&);
template <class T>
struct BuiltinCodec {
  static constexpr bool kKnown = false;
};

/// Aggregates, field by field (aggregate.hpp).
template <class T>
struct FieldByField;

enum class Encoding { codec, bits, builtin, fields, none };

template <class T>
consteval Encoding choose_encoding() {
  if constexpr (HasCodec<T>) return Encoding::codec;
  else if constexpr (bitwise<T>) return Encoding::bits;
  else if constexpr (BuiltinCodec<T>::kKnown) return Encoding::builtin;
  else if constexpr (Splittable<T>) return Encoding::fields;
  else return Encoding::none;
}

template <class T>
inline constexpr Encoding kEncoding = choose_encoding<T>();

/// Throws CodecError if a bool in bytes that were copied is neither true nor false.
template <class T>
void check_bools(const T* values, std::size_t n) {
  if (!bools_are_sound(values, n)) damaged("a bool is neither");
}

template <class T>
T read_bits(Reader& r) {
  if constexpr (is_bool<T>()) return static_cast<T>(*r.bytes(1) != std::byte{0});
  else if constexpr (std::is_empty_v<T> && std::is_default_constructible_v<T>) return T();
  else if constexpr (std::is_trivially_default_constructible_v<T> && std::is_trivially_copyable_v<T>) {
    T value;
    std::memcpy(static_cast<void*>(&value), r.bytes(sizeof(T)), sizeof(T));
    check_bools(&value, 1);
    return value;
  } else {
    alignas(T) std::byte bits[sizeof(T)] = {};
    if constexpr (!std::is_empty_v<T>) std::memcpy(bits, r.bytes(sizeof(T)), sizeof(T));
    T* made = std::launder(reinterpret_cast<T*>(bits));
    check_bools(made, 1);
    if constexpr (std::is_copy_constructible_v<T>) return T(*static_cast<const T*>(made));
    else return T(std::move(*made));
  }
}

template <class W, class T>
void encode(W& w, const T& value) {
  constexpr Encoding encoding = kEncoding<T>;
  if constexpr (encoding == Encoding::codec) {
    const NestingGuard guard(w.depth());
    Codec<T>::write(w, value);
  } else if constexpr (std::is_same_v<T, long double> && std::numeric_limits<long double>::digits == 64) {
    // Ten bytes hold it. The others are indeterminate, also for compilers, which may read them differently each time.
    constexpr std::size_t kHeld = 10;
    w.bytes(&value, kHeld);
    w.pad_to(w.size() + sizeof(T) - kHeld);
  } else if constexpr (encoding == Encoding::bits) {
    check_reach<T>(w);
    if constexpr (!std::is_empty_v<T>) w.bytes(&value, sizeof(T));
  } else if constexpr (encoding == Encoding::builtin) {
    BuiltinCodec<T>::write(w, value);
  } else if constexpr (encoding == Encoding::fields) {
    const NestingGuard guard(w.depth());
    FieldByField<T>::write(w, value);
  } else {
    static_assert(encoding != Encoding::none, "a value of this type cannot travel to a worker process");
  }
}

template <class T>
T decode(Reader& r) {
  static_assert(!std::is_const_v<T> && !std::is_reference_v<T> && !std::is_array_v<T>);
  constexpr Encoding encoding = kEncoding<T>;
  if constexpr (encoding == Encoding::codec) {
    const NestingGuard guard(r.depth());
    return Codec<T>::read(r);
  } else if constexpr (encoding == Encoding::bits) {
    return read_bits<T>(r);
  } else if constexpr (encoding == Encoding::builtin) {
    return BuiltinCodec<T>::read(r);
  } else if constexpr (encoding == Encoding::fields) {
    const NestingGuard guard(r.depth());
    return FieldByField<T>::read(r);
  } else {
    static_assert(encoding != Encoding::none, "a value of this type cannot travel to a worker process");
  }
}

/// What a type is made of, as far as travelling goes. `Stuck` is void, or the innermost type that
/// cannot travel; `views` says whether a decoded value points into its payload. `Seen` are the
/// aggregates around T: meeting one of them again (a tree of itself) adds nothing new.
template <class T, class... Seen>
struct Inspect;

template <class List, class... Seen>
struct InspectAll;
template <class... Seen>
struct InspectAll<TypeList<>, Seen...> {
  using Stuck = void;
  static constexpr bool views = false;
};
template <class First, class... Rest, class... Seen>
struct InspectAll<TypeList<First, Rest...>, Seen...> {
  using Head = Inspect<std::remove_const_t<First>, Seen...>;
  using Tail = InspectAll<TypeList<Rest...>, Seen...>;
  using Stuck = std::conditional_t<std::is_void_v<typename Head::Stuck>, typename Tail::Stuck, typename Head::Stuck>;
  static constexpr bool views = Head::views || Tail::views;
};

template <class T, Encoding encoding, class... Seen>
struct InspectEncoding {
  using Stuck = std::conditional_t<encoding == Encoding::none, T, void>;
  static constexpr bool views = false;
};
template <class T, class... Seen>
struct InspectEncoding<T, Encoding::builtin, Seen...> : InspectAll<typename BuiltinCodec<T>::Parts, Seen...> {
  using Base = InspectAll<typename BuiltinCodec<T>::Parts, Seen...>;
  static constexpr bool views = Base::views || requires { BuiltinCodec<T>::kView; };
};
template <class T, class... Seen>
struct InspectEncoding<T, Encoding::fields, Seen...> : InspectAll<FieldsOf<T>, T, Seen...> {};

/// The part that stands for a type that a built-in codec knows but refuses, such as a set with a stateful order.
template <class T>
struct Refused;

template <bool seen, class T, class... Seen>
struct InspectNew : InspectEncoding<T, Encoding::bits> {};
template <class T, class... Seen>
struct InspectNew<false, T, Seen...> : InspectEncoding<T, kEncoding<T>, Seen...> {};

template <class T, class... Seen>
struct Inspect : InspectNew<(std::is_same_v<T, Seen> || ...), T, Seen...> {};
template <class T, class... Seen>
  requires(!std::is_object_v<T>)
struct Inspect<T, Seen...> {
  using Stuck = std::conditional_t<std::is_void_v<T>, void*, T>;
  static constexpr bool views = false;
};
template <class T, class... Seen>
struct Inspect<Refused<T>, Seen...> {
  using Stuck = T;
  static constexpr bool views = false;
};

/// void, or the innermost type that keeps T from travelling.
template <class T>
using StuckOn = typename Inspect<T>::Stuck;

/// Whether a decoded T points into its payload (holds a string_view or a span).
template <class T>
inline constexpr bool kViews = Inspect<T>::views;

template <class T>
consteval bool travels() {
  return std::is_void_v<StuckOn<T>>;
}

}  // namespace retinue::detail
