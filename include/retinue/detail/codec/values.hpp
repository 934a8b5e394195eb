// Single values with structure: pairs, tuples, optionals, variants, owned values, paths.
#pragma once

#include <retinue/detail/codec/encoding.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

namespace retinue::detail {

template <class A, class B>
struct BuiltinCodec<std::pair<A, B>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<A, B>;

  template <class W>
  static void write(W& w, const std::pair<A, B>& p) {
    w(p.first, p.second);
  }
  static std::pair<A, B> read(Reader& r) {
    return std::pair<A, B>{r.value<std::remove_const_t<A>>(), r.value<std::remove_const_t<B>>()};
  }
};

template <class... T>
struct BuiltinCodec<std::tuple<T...>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<T...>;

  template <class W>
  static void write(W& w, const std::tuple<T...>& t) {
    std::apply([&w](const T&... element) { w(element...); }, t);
  }
  static std::tuple<T...> read(Reader& r) { return std::tuple<T...>{r.value<std::remove_const_t<T>>()...}; }
};

template <class T>
struct BuiltinCodec<std::optional<T>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<T>;

  template <class W>
  static void write(W& w, const std::optional<T>& o) {
    w.value(o.has_value());
    if (o) w.value(*o);
  }
  static std::optional<T> read(Reader& r) {
    if (!r.value<bool>()) return std::nullopt;
    return std::optional<T>(std::in_place, r.value<std::remove_const_t<T>>());
  }
};

template <class... T>
struct BuiltinCodec<std::variant<T...>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<T...>;
  using Variant = std::variant<T...>;

  template <class W>
  static void write(W& w, const Variant& v) {
    if (v.valueless_by_exception()) throw CodecError("a variant without a value cannot travel to a worker process");
    w.value(static_cast<std::uint16_t>(v.index()));
    std::visit([&w](const auto& alternative) { w.value(alternative); }, v);
  }

  static Variant read(Reader& r) { return read_at(r, std::index_sequence_for<T...>()); }

 private:
  template <std::size_t i>
  static Variant read_alternative(Reader& r) {
    return Variant(std::in_place_index<i>, r.value<std::remove_const_t<std::variant_alternative_t<i, Variant>>>());
  }
  template <std::size_t... Index>
  static Variant read_at(Reader& r, std::index_sequence<Index...>) {
    using Read = Variant (*)(Reader&);
    static constexpr Read kRead[] = {&read_alternative<Index>...};
    const auto index = r.value<std::uint16_t>();
    if (index >= sizeof...(Index)) damaged("a variant has no such alternative");
    return kRead[index](r);
  }
};

/// By value. A base class may stand for a derived object that would be cut down to it, so those are
/// refused.
template <class T>
struct BuiltinCodec<std::unique_ptr<T>> {
  using Value = std::remove_const_t<T>;
  static constexpr bool kKnown = !std::is_array_v<T>;
  using Parts = std::conditional_t<std::is_polymorphic_v<T> && !std::is_final_v<T>,
                                   TypeList<Refused<std::unique_ptr<T>>>, TypeList<T>>;

  template <class W>
  static void write(W& w, const std::unique_ptr<T>& p) {
    w.value(p != nullptr);
    if (p) w.value(*p);
  }
  static std::unique_ptr<T> read(Reader& r) {
    if (!r.value<bool>()) return nullptr;
    return std::unique_ptr<T>(new Value(r.value<Value>()));
  }
};

template <>
struct BuiltinCodec<std::filesystem::path> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<>;

  template <class W>
  static void write(W& w, const std::filesystem::path& p) {
    w.value(p.native());
  }
  static std::filesystem::path read(Reader& r) { return r.value<std::filesystem::path::string_type>(); }
};

}  // namespace retinue::detail
