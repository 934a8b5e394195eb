// Looking into a plain aggregate: how many fields it has, of which types, and a reference to each.
//
// The count comes from brace-initialisation (which initialisers does T accept?), the fields themselves
// from a structured binding with that many names. Should the count ever be wrong, the binding does
// not compile: nothing is miscounted silently.
#pragma once

#include <retinue/detail/codec/field_lists.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace retinue::detail {

template <class... T>
struct TypeList {
  static constexpr std::size_t size = sizeof...(T);
};

/// The most fields an aggregate may have to be taken apart.
inline constexpr int kMaxFields = 32;

/// Stands for an initialiser of any type; only ever named in unevaluated operands.
struct AnyField {
  template <class U>
  operator U() const;
};

/// Stands for an initialiser of any proper base class of T.
template <class T>
struct AnyBase {
  template <class U>
    requires(std::is_base_of_v<U, T> && !std::is_same_v<U, T>)
  operator U() const;
};

template <std::size_t>
struct AnyFieldAt : AnyField {};

/// The largest n for which T{{} x n} compiles; exact unless a field cannot be made from `{}`.
template <class T>
consteval int braced_count() {
  if constexpr (!requires { T{}; }) return 0;
#define RETINUE_CASE(n) else if constexpr (!requires { T{RETINUE_BRACES_##n}; }) return n - 1;
  RETINUE_FOR_EACH_COUNT(RETINUE_CASE)
#undef RETINUE_CASE
  else if constexpr (!requires { T{RETINUE_BRACES_33}; }) return kMaxFields; else return kMaxFields + 1;
}

/// Whether T{{} x n, any} compiles: then field n exists, but cannot be made from `{}`.
template <class T, int n>
consteval bool has_field_after() {
  if constexpr (n == 0) return requires { T{AnyField{}}; };
#define RETINUE_CASE(k) else if constexpr (n == k) return requires { T{RETINUE_BRACES_##k, AnyField{}}; };
  RETINUE_FOR_EACH_COUNT(RETINUE_CASE)
#undef RETINUE_CASE
  else return false; }

template <class T, std::size_t... Index>
consteval bool takes_any(std::index_sequence<Index...>) {
  return requires { T{AnyFieldAt<Index>{}...}; };
}

/// The largest n for which T{any x n} compiles; exact unless a field is a C array.
template <class T, std::size_t n = kMaxFields + 1>
consteval int any_count() {
  if constexpr (n == 0) return 0;
  else if constexpr (takes_any<T>(std::make_index_sequence<n>())) return static_cast<int>(n);
  else return any_count<T, n - 1>();
}

/// The number of fields, or -1 where T cannot be taken apart (not an aggregate, base classes, more
/// than kMaxFields fields, fields that nothing initialises).
template <class T>
consteval int field_count() {
  // NOLINTNEXTLINE(bugprone-branch-clone): what is no aggregate must not even be asked the second question
  if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T>) return -1;
  else if constexpr (requires { T{AnyBase<T>{}}; }) return -1;
  else {
    constexpr int braced = braced_count<T>();
    if constexpr (braced > kMaxFields) return -1;
    else if constexpr (requires { T{}; } && !has_field_after<T, braced>()) return braced;
    else {
      constexpr int any = any_count<T>();
      return any == 0 || any > kMaxFields ? -1 : any;
    }
  }
}

template <class T>
inline constexpr int kFieldCount = field_count<T>();

/// An aggregate that `split` can take apart.
template <class T>
concept Splittable = kFieldCount<T> >= 0;

/// Calls visit(field...) with a reference to each field of v in order of declaration.
template <class T, class Visit>
constexpr decltype(auto) split(T& v, Visit&& visit) {
  constexpr int count = kFieldCount<std::remove_const_t<T>>;
  if constexpr (count == 0) return visit();
#define RETINUE_CASE(n)              \
  else if constexpr (count == n) {   \
    auto& [RETINUE_NAMES_##n] = v;   \
    return visit(RETINUE_NAMES_##n); \
  }
  RETINUE_FOR_EACH_COUNT(RETINUE_CASE)
#undef RETINUE_CASE
}

template <class T>
constexpr auto list_fields([[maybe_unused]] T& v) {
  if constexpr (kFieldCount<T> == 0) return TypeList<>();
#define RETINUE_CASE(n)                             \
  else if constexpr (kFieldCount<T> == n) {         \
    [[maybe_unused]] auto& [RETINUE_NAMES_##n] = v; \
    return TypeList<RETINUE_TYPES_##n>();           \
  }
  RETINUE_FOR_EACH_COUNT(RETINUE_CASE)
#undef RETINUE_CASE
}

/// The declared types of T's fields (references and const included) as a TypeList.
template <class T>
using FieldsOf = decltype(list_fields(std::declval<T&>()));

}  // namespace retinue::detail
