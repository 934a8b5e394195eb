// Which types may be sent by copying their bytes.
#pragma once

#include <retinue/detail/codec/fields.hpp>

#include <array>
#include <bit>
#include <complex>
#include <cstddef>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace retinue {

/// Specialise to true to vouch that a type means the same in another process when its bytes are
/// copied: no pointers but to memory that every process has at the same address, nothing owned.
///
///     template <> inline constexpr bool retinue::enable_bitwise<geo::Grid> = true;
///
/// Types that need no vouching: numbers, enums, and trivially copyable types without pointers,
/// references, unions (so also without `std::optional`) or, under clang, bit-fields.
template <class T>
inline constexpr bool enable_bitwise = false;

/// How T is written and read; specialise it for a type that does not travel by itself (codec.hpp).
template <class T>
struct Codec;

namespace detail {

/// Marks the Codec nobody has specialised.
struct NoCodec {};

}  // namespace detail

template <class T>
struct Codec : detail::NoCodec {};

namespace detail {

template <class T>
concept HasCodec = !std::is_base_of_v<NoCodec, Codec<T>>;

/// Types above this size are judged by their fields; a constant this large is costly to evaluate.
inline constexpr std::size_t kMaxProbed = 64 * 1024;

/// A constant expression may not turn bytes into a pointer, a reference or a union member, however
/// deep inside T, private or captured: so whether this compiles tells whether T has any.
template <class T>
concept PointerFree = requires {
  typename std::bool_constant<(static_cast<void>(std::bit_cast<T>(std::array<unsigned char, sizeof(T)>{})), true)>;
};

template <class T>
concept TriviallyMovedAbout = std::is_trivially_copy_constructible_v<T> && std::is_trivially_destructible_v<T>;

template <class T>
struct BoundByFront : std::false_type {};
template <template <class...> class B, class F, class... A>
  requires std::is_same_v<B<F, A...>, decltype(std::bind_front(std::declval<F>(), std::declval<A>()...))>
struct BoundByFront<B<F, A...>>;

template <class T>
struct Bitwise;

template <class T>
consteval bool fields_are_bitwise(TypeList<>*) {
  return true;
}
template <class T, class... Field>
  requires(sizeof...(Field) > 0)
consteval bool fields_are_bitwise(TypeList<Field...>*) {
  return (Bitwise<std::remove_const_t<Field>>::value && ...);
}

template <class T>
consteval bool is_bitwise_class() {
  if constexpr (!std::is_class_v<T> || std::is_polymorphic_v<T>) return false;
  else if constexpr (!std::is_trivially_copyable_v<T> ||
                     (!std::is_copy_constructible_v<T> && !std::is_move_constructible_v<T>)) {
    // libstdc++'s bind_front results fail only in assignment.
    if constexpr (TriviallyMovedAbout<T> && !std::is_aggregate_v<T>) return BoundByFront<T>::value;
    else return false;
  } else if constexpr (std::is_empty_v<T>) return true;
  else {
    constexpr bool small = sizeof(T) <= kMaxProbed;
    constexpr bool pointer_free = [] {
      if constexpr (small) return PointerFree<T>;
      else return false;
    }();
    // A field may have a Codec of its own or be vouched for, so fields have the last word. An
    // aggregate the probe refuses may hold what cannot even be split (an anonymous union).
    if constexpr (pointer_free || !small) {
      if constexpr (Splittable<T>) return fields_are_bitwise<T>(static_cast<FieldsOf<T>*>(nullptr));
      else return pointer_free;
    } else return !std::is_aggregate_v<T> && BoundByFront<T>::value;
  }
}

template <class T>
consteval bool is_bitwise() {
  if constexpr (HasCodec<T>) return false;
  else if constexpr (enable_bitwise<T> || std::is_arithmetic_v<T> || std::is_enum_v<T> ||
                     std::is_member_object_pointer_v<T>)
    return true;
  else return is_bitwise_class<T>();
}

/// Whether T is sent by copying its bytes. Pairs and tuples qualify though their assignment is not
/// trivial; C arrays and std::array go by their element, which keeps large ones cheap to judge.
template <class T>
struct Bitwise : std::bool_constant<is_bitwise<T>()> {};
template <class T, std::size_t n>
struct Bitwise<T[n]> : Bitwise<std::remove_const_t<T>> {};
template <class T, std::size_t n>
struct Bitwise<std::array<T, n>>
    : std::bool_constant<!HasCodec<std::array<T, n>> && Bitwise<std::remove_const_t<T>>::value> {};
template <class T>
struct Bitwise<std::complex<T>> : Bitwise<T> {};
template <class A, class B>
struct Bitwise<std::pair<A, B>>
    : std::bool_constant<!HasCodec<std::pair<A, B>> && TriviallyMovedAbout<std::pair<A, B>> &&
                         Bitwise<std::remove_const_t<A>>::value && Bitwise<std::remove_const_t<B>>::value> {};
template <class... T>
struct Bitwise<std::tuple<T...>>
    : std::bool_constant<!HasCodec<std::tuple<T...>> && TriviallyMovedAbout<std::tuple<T...>> &&
                         (Bitwise<std::remove_const_t<T>>::value && ...)> {};

template <class T>
inline constexpr bool bitwise = Bitwise<T>::value;

template <template <class...> class B, class F, class... A>
  requires std::is_same_v<B<F, A...>, decltype(std::bind_front(std::declval<F>(), std::declval<A>()...))>
struct BoundByFront<B<F, A...>>
    : std::bool_constant<TriviallyMovedAbout<B<F, A...>> &&
                         (bitwise<F> || std::is_pointer_v<F> || std::is_member_function_pointer_v<F>) &&
                         ((bitwise<A> || (std::is_pointer_v<A> && std::is_function_v<std::remove_pointer_t<A>>)) &&
                          ...)> {};

/// Whether T is written as no bytes at all.
template <class T>
inline constexpr bool weightless = bitwise<T> && std::is_empty_v<T>;

/// A callable somebody has vouched for; see retinue::bitwise.
template <class F>
struct DeclaredBitwise {
  F function;

  template <class... A>
    requires std::is_invocable_v<F&, A...>
  constexpr decltype(auto) operator()(A&&... args) {
    return std::invoke(function, std::forward<A>(args)...);
  }
  template <class... A>
    requires std::is_invocable_v<const F&, A...>
  constexpr decltype(auto) operator()(A&&... args) const {
    return std::invoke(function, std::forward<A>(args)...);
  }
};

}  // namespace detail

template <class F>
inline constexpr bool enable_bitwise<detail::DeclaredBitwise<F>> = true;

/// Vouches for a trivially copyable callable that the compile-time check cannot see through, such as
/// a lambda that captured an optional, a union, or a pointer to memory that every process shares.
///
///     std::optional<int> limit = ...;
///     pool.submit(retinue::bitwise([limit](int x) { return limit ? std::min(x, *limit) : x; }), 7);
///
/// Its bytes are copied as they are: a pointer captured to anything else will not be valid there.
template <class F>
constexpr detail::DeclaredBitwise<std::decay_t<F>> bitwise(F&& f) {
  using Function = std::decay_t<F>;
  static_assert(detail::TriviallyMovedAbout<Function>,
                "retinue::bitwise needs a trivially copyable callable: what it owns would not travel");
  return {std::forward<F>(f)};
}

}  // namespace retinue
