// How executors inside the process call a function on the elements of a map.
#pragma once

#include <functional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <variant>

namespace retinue::detail {

/// What a map keeps of an element of R until its task runs: a value, also where iterating gives a reference
/// into something that may be gone by then, or a proxy (std::vector<bool>).
template <class R>
using Element = std::ranges::range_value_t<R>;

/// The element under an iterator of R, ready to become an Element<R>: moved out if the map owns the range.
template <class R, class Reference>
decltype(auto) element_of(Reference&& reference) {
  using View = std::views::all_t<R>;
  if constexpr (!std::is_lvalue_reference_v<R> && !std::ranges::view<std::remove_cvref_t<R>> &&
                std::is_lvalue_reference_v<std::ranges::range_reference_t<View>>) {
    return std::move(reference);  // NOLINT(bugprone-move-forwarding-reference): the range is the map's own
  } else {
    return std::forward<Reference>(reference);
  }
}

/// Calls `f`, which several threads may be calling at once, with elements that are the call's own. A function
/// that only a non-const object can call (a mutable lambda) is copied for each call, as if it had travelled.
/// Parameters that are lvalue references get the element itself.
template <class F, class... A>
decltype(auto) call_on(const F& f, A&&... elements) {
  if constexpr (std::is_invocable_v<const F&, A...>) {
    return std::invoke(f, std::forward<A>(elements)...);
  } else if constexpr (std::is_invocable_v<const F&, A&...>) {
    return std::invoke(f, elements...);
  } else if constexpr (std::is_invocable_v<F&, A...>) {
    F own(f);
    return std::invoke(own, std::forward<A>(elements)...);
  } else {
    static_assert(std::is_invocable_v<F&, A&...>, "the function cannot be called with the elements of these ranges");
    F own(f);
    return std::invoke(own, elements...);
  }
}

/// What such a call gives, as a value.
template <class F, class... A>
using CallResult = std::remove_cvref_t<decltype(call_on(std::declval<const F&>(), std::declval<A>()...))>;

/// The value type of a map: that of its function, std::monostate for void.
template <class F, class... A>
using MapValue = std::conditional_t<std::is_void_v<CallResult<F, A...>>, std::monostate, CallResult<F, A...>>;

/// The call of a map's function, with void made a value.
template <class F, class... A>
MapValue<F, A...> map_call(const F& f, A&&... elements) {
  if constexpr (std::is_void_v<CallResult<F, A...>>) {
    call_on(f, std::forward<A>(elements)...);
    return {};
  } else {
    return call_on(f, std::forward<A>(elements)...);
  }
}

}  // namespace retinue::detail
