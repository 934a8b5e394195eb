// What in a value is an address in shared memory, good only where that memory is.
#pragma once

#include <retinue/detail/codec/bitwise.hpp>
#include <retinue/detail/codec/checks.hpp>

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

namespace retinue::detail {

/// True for handles that name memory of the region by its address: they say so where they are defined.
template <class T>
inline constexpr bool names_shared_memory = false;

template <class T>
struct HoldsNames;

template <class... Field>
consteval bool any_holds_names(TypeList<Field...>*) {
  return (HoldsNames<std::remove_const_t<Field>>::value || ...);
}

template <class T>
consteval bool holds_names() {
  if constexpr (names_shared_memory<T>) return true;
  // What is vouched for, and what a class hides, is its own affair.
  else if constexpr (!std::is_class_v<T> || enable_bitwise<T> || !Splittable<T>) return false;
  else return any_holds_names(static_cast<FieldsOf<T>*>(nullptr));
}

/// Whether there are such handles to be seen in a bitwise T: itself, an element or a field, however deep.
template <class T>
struct HoldsNames : std::bool_constant<holds_names<T>()> {};
template <class T, std::size_t n>
struct HoldsNames<T[n]> : HoldsNames<std::remove_const_t<T>> {};
template <class T, std::size_t n>
struct HoldsNames<std::array<T, n>> : HoldsNames<std::remove_const_t<T>> {};
template <class A, class B>
struct HoldsNames<std::pair<A, B>>
    : std::bool_constant<HoldsNames<std::remove_const_t<A>>::value || HoldsNames<std::remove_const_t<B>>::value> {};
template <class... T>
struct HoldsNames<std::tuple<T...>> : std::bool_constant<(HoldsNames<std::remove_const_t<T>>::value || ...)> {};

[[noreturn, gnu::cold, gnu::noinline]] inline void names_nothing_there() {
  throw CodecError(
      "a SharedSpan or SharedView names shared memory, which the process that is to read this payload does not have: "
      "send its elements, for instance as a std::vector");
}

/// Before the bytes of values of type T are copied to `w`: throws CodecError if there are addresses among them that mean
/// nothing to the reader.
template <class T, class W>
void check_reach(const W& w) {
  if constexpr (HoldsNames<T>::value) {
    if (!w.shares_memory()) names_nothing_there();
  }
}

}  // namespace retinue::detail
