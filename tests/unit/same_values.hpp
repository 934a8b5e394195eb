// Whether two values are the same, where == cannot tell: NaN is the same as NaN, zero is not the same as
// minus zero, and what a unique_ptr points to counts rather than where.
#pragma once

#include <retinue/codec.hpp>

#include <algorithm>
#include <cmath>
#include <ranges>

namespace retinue_test {

template <class T>
bool same(const T& a, const T& b);

template <class T>
concept Hashed = requires { typename T::hasher; };

/// A container whose iterators give its elements in an order that means something.
template <class T>
concept Ordered = std::ranges::forward_range<const T> && !Hashed<T> &&
                  !std::is_same_v<std::ranges::range_value_t<const T>, T>;  // a path is a range of paths

template <class T>
bool same_class(const T& a, const T& b) {
  if constexpr (Ordered<T>) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return same(x, y); });
  } else if constexpr (Hashed<T> || !retinue::detail::Splittable<T> || retinue::detail::HasCodec<T>) {
    return a == b;
  } else {
    return retinue::detail::split(a, [&b](const auto&... x) {
      return retinue::detail::split(b, [&](const auto&... y) { return (same(x, y) && ...); });
    });
  }
}

template <class T>
bool same_class(const std::unique_ptr<T>& a, const std::unique_ptr<T>& b) {
  return a && b ? same(*a, *b) : !a && !b;
}
template <class T>
bool same_class(const std::optional<T>& a, const std::optional<T>& b) {
  return a && b ? same(*a, *b) : !a && !b;
}
template <class A, class B>
bool same_class(const std::pair<A, B>& a, const std::pair<A, B>& b) {
  return same(a.first, b.first) && same(a.second, b.second);
}
template <class... T>
bool same_class(const std::tuple<T...>& a, const std::tuple<T...>& b) {
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return (same(std::get<I>(a), std::get<I>(b)) && ...);
  }(std::index_sequence_for<T...>());
}
template <class... T>
bool same_class(const std::variant<T...>& a, const std::variant<T...>& b) {
  if (a.index() != b.index()) return false;
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return ((I != a.index() || same(*std::get_if<I>(&a), *std::get_if<I>(&b))) && ...);
  }(std::index_sequence_for<T...>());
}
template <class T>
bool same_class(const std::complex<T>& a, const std::complex<T>& b) {
  return same(a.real(), b.real()) && same(a.imag(), b.imag());
}
template <class Rep, class Period>
bool same_class(const std::chrono::duration<Rep, Period>& a, const std::chrono::duration<Rep, Period>& b) {
  return same(a.count(), b.count());
}

template <class T>
bool same(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::isnan(a) || std::isnan(b) ? std::isnan(a) && std::isnan(b)
                                          : a == b && std::signbit(a) == std::signbit(b);
  } else if constexpr (std::is_array_v<T>) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return same(x, y); });
  } else if constexpr (std::is_class_v<T>) {
    return same_class(a, b);
  } else {
    return a == b;
  }
}

}  // namespace retinue_test
