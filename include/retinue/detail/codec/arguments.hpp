// One argument on its way to one parameter: what is written in the owner, what is held in the worker
// and what the function is given.
#pragma once

#include <retinue/detail/codec/signature.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace retinue::detail {

/// How a parameter of type T (without const and reference) is served. `Encoded` is what an argument
/// is converted to, `Decoded` what the worker holds, `Checked` what must be able to travel.
template <class T>
struct Served {
  using Encoded = T;
  using Decoded = T;
  using Checked = T;
  static T& give(Decoded& value) noexcept { return value; }
};

/// A span of const elements looks into the payload where it can, else into a private copy.
template <class T, std::size_t extent>
struct Served<std::span<const T, extent>> {
  using Encoded = std::span<const T, extent>;
  using Decoded = std::conditional_t<kReadInPlace<T>, std::span<const T, extent>, std::vector<T>>;
  using Checked = std::conditional_t<kReadInPlace<T>, std::span<const T, extent>, std::vector<T>>;
  static std::span<const T, extent> give(Decoded& value) {
    if constexpr (extent != std::dynamic_extent) {
      if (value.size() != extent) damaged("a span has another extent");
    }
    return std::span<const T, extent>(value.data(), value.size());
  }
};

/// A span of elements that can be changed: a private copy, lost when the task ends.
template <class T, std::size_t extent>
  requires(!std::is_const_v<T>)
struct Served<std::span<T, extent>> {
  using Encoded = std::span<const T, extent>;
  using Decoded = std::vector<T>;
  using Checked = std::vector<T>;
  static std::span<T, extent> give(Decoded& value) {
    if constexpr (extent != std::dynamic_extent) {
      if (value.size() != extent) damaged("a span has another extent");
    }
    return std::span<T, extent>(value.data(), value.size());
  }
};

template <class C>
concept Character = std::is_same_v<C, char> || std::is_same_v<C, wchar_t> || std::is_same_v<C, char8_t> ||
                    std::is_same_v<C, char16_t> || std::is_same_v<C, char32_t>;

/// A NUL-terminated string.
template <Character C>
struct Served<const C*> {
  using Encoded = std::basic_string_view<C>;
  using Decoded = std::basic_string<C>;
  using Checked = std::basic_string<C>;
  static const C* give(Decoded& value) noexcept { return value.c_str(); }
};

template <class A>
struct DecayedArgument {
  using Type = std::decay_t<A>;
};
template <Character C>
struct DecayedArgument<C*> {
  using Type = std::basic_string<C>;
};
template <Character C>
struct DecayedArgument<const C*> {
  using Type = std::basic_string<C>;
};
template <>
struct DecayedArgument<std::vector<bool>::reference> {
  using Type = bool;
};

/// The parameter that takes any argument: it is served as the argument's own type.
struct AnyParameter {};

template <class P, class A>
struct ParameterFor {
  using Type = P;
};
template <class A>
struct ParameterFor<AnyParameter, A> {
  using Type = typename DecayedArgument<std::decay_t<A>>::Type&&;
};
template <class C, class A>
struct ParameterFor<ObjectOf<C>, A> {
  using Type = std::decay_t<A>&;
};

template <class T>
struct ViewOf {
  using Type = void;
};
template <class C, class Traits, class Allocator>
struct ViewOf<std::basic_string<C, Traits, Allocator>> {
  using Type = std::basic_string_view<C, Traits>;
};

template <class T>
inline constexpr bool kIsSpan = false;
template <class T, std::size_t extent>
inline constexpr bool kIsSpan<std::span<T, extent>> = true;

/// An argument of type A on its way to a parameter declared as `Declared` (a type, AnyParameter or
/// ObjectOf).
template <class Declared, class A>
struct Argument {
  using Given = std::remove_cv_t<std::remove_reference_t<A>>;
  using Parameter = typename ParameterFor<Declared, Given>::Type;
  using Value = std::remove_cv_t<std::remove_reference_t<Parameter>>;
  using View = typename ViewOf<Value>::Type;

  static constexpr bool kIsObject = !std::is_same_v<Declared, Parameter> && std::is_lvalue_reference_v<Parameter>;
  static constexpr bool kTakesReference =
      !kIsObject && std::is_lvalue_reference_v<Parameter> && !std::is_const_v<std::remove_reference_t<Parameter>>;
  /// A string is written from anything that can be viewed as one, without being made first.
  static constexpr bool kAsView = [] {
    if constexpr (std::is_void_v<View> || std::is_same_v<Given, Value>) return false;
    else return std::is_convertible_v<const Given&, View>;
  }();

  using Encoded = typename std::conditional_t<kAsView, std::type_identity<View>,
                                              std::type_identity<typename Served<Value>::Encoded>>::type;
  using Decoded = typename Served<Value>::Decoded;
  using Checked = typename Served<Value>::Checked;

  /// Implicit conversions, as in an ordinary call; but a polymorphic object is not cut down to its base.
  static constexpr bool kAccepts =
      std::is_same_v<Given, Value> ||
      (!std::is_polymorphic_v<Value> && (std::is_convertible_v<const Given&, Encoded> ||
                                         (kIsSpan<Encoded> && std::is_constructible_v<Encoded, const Given&>)));

  template <class W>
  static void write(W& w, const Given& argument) {
    if constexpr (std::is_pointer_v<Given> && !std::is_same_v<Given, Encoded>) {
      if constexpr (Character<std::remove_cv_t<std::remove_pointer_t<Given>>>) {
        if (argument == nullptr) throw Error("a null pointer was given where a string is expected");
      }
    }
    if constexpr (std::is_same_v<Given, Encoded>) w.value(argument);
    else w.value(static_cast<Encoded>(argument));
  }

  /// The parameter's type exactly, bound to (or moved out of) what the worker holds.
  static decltype(auto) give(Decoded& held) {
    if constexpr (!std::is_same_v<Decoded, Value>) return Served<Value>::give(held);
    else if constexpr (std::is_lvalue_reference_v<Parameter>) return static_cast<Parameter>(held);
    else return static_cast<Value&&>(held);
  }
};

}  // namespace retinue::detail
