// The bools among bytes that are copied. One that is neither, from a damaged payload, is undefined
// behaviour for whoever looks at it, so they are checked before anybody does.
#pragma once

#include <retinue/detail/codec/bitwise.hpp>

#include <cstddef>

namespace retinue::detail {

/// bool, or an enum of it.
template <class T>
consteval bool is_bool() {
  if constexpr (std::is_enum_v<T>) return std::is_same_v<std::underlying_type_t<T>, bool>;
  else return std::is_same_v<T, bool>;
}

template <class T>
struct HoldsBool;

template <class... Field>
consteval bool any_holds_bool(TypeList<Field...>*) {
  return (HoldsBool<std::remove_const_t<Field>>::value || ...);
}

template <class T>
consteval bool holds_bool() {
  if constexpr (is_bool<T>()) return true;
  // What is vouched for, and what a class hides, is its own affair.
  else if constexpr (!std::is_class_v<T> || enable_bitwise<T> || !Splittable<T>) return false;
  else return any_holds_bool(static_cast<FieldsOf<T>*>(nullptr));
}

/// Whether there are bools to be seen in a bitwise T: itself, an element or a field, however deep.
template <class T>
struct HoldsBool : std::bool_constant<holds_bool<T>()> {};
template <class T, std::size_t n>
struct HoldsBool<T[n]> : HoldsBool<std::remove_const_t<T>> {};
template <class T, std::size_t n>
struct HoldsBool<std::array<T, n>> : std::bool_constant<(n > 0) && HoldsBool<std::remove_const_t<T>>::value> {};
template <class A, class B>
struct HoldsBool<std::pair<A, B>>
    : std::bool_constant<HoldsBool<std::remove_const_t<A>>::value || HoldsBool<std::remove_const_t<B>>::value> {};
template <class... T>
struct HoldsBool<std::tuple<T...>> : std::bool_constant<(HoldsBool<std::remove_const_t<T>>::value || ...)> {};

/// The bytes of all bools in a bitwise value, ored: at most 1 if each is true or false.
template <class T>
unsigned char ored_bools(const T& value);

template <class T, std::size_t n>
unsigned char ored_bools_in(const std::array<T, n>& array) {
  unsigned ored = 0;
  for (const T& element : array) ored |= ored_bools(element);
  return static_cast<unsigned char>(ored);
}
template <class A, class B>
unsigned char ored_bools_in(const std::pair<A, B>& pair) {
  return static_cast<unsigned char>(ored_bools(pair.first) | ored_bools(pair.second));
}
template <class... T>
unsigned char ored_bools_in(const std::tuple<T...>& tuple) {
  return std::apply([](const T&... element) { return static_cast<unsigned char>((0u | ... | ored_bools(element))); },
                    tuple);
}
template <class T>
unsigned char ored_bools_in(const T& aggregate) {
  return split(aggregate,
               [](const auto&... field) { return static_cast<unsigned char>((0u | ... | ored_bools(field))); });
}

template <class T>
unsigned char ored_bools(const T& value) {
  if constexpr (!HoldsBool<T>::value) return 0;
  else if constexpr (is_bool<T>()) return reinterpret_cast<const unsigned char&>(value);
  else if constexpr (std::is_array_v<T>) {
    unsigned ored = 0;
    for (const auto& element : value) ored |= ored_bools(element);
    return static_cast<unsigned char>(ored);
  } else return ored_bools_in(value);
}

/// Whether each bool in n bitwise values is true or false.
template <class T>
bool bools_are_sound(const T* values, std::size_t n) {
  unsigned ored = 0;
  if constexpr (HoldsBool<T>::value) {
    for (std::size_t i = 0; i < n; ++i) ored |= ored_bools(values[i]);
  }
  return ored <= 1;
}

}  // namespace retinue::detail
