// Plain aggregates and C arrays inside them, field by field.
#pragma once

#include <retinue/detail/codec/encoding.hpp>

namespace retinue::detail {

template <class T, std::size_t n>
struct BuiltinCodec<T[n]> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<T>;

  template <class W>
  static void write(W& w, const T (&array)[n]) {
    for (const T& element : array) w.value(element);
  }
};

template <class T>
void read_field(Reader& r, T& field) {
  if constexpr (std::is_array_v<T>) {
    if constexpr (bitwise<T> && !HoldsBool<T>::value) {
      std::memcpy(static_cast<void*>(&field), r.bytes(sizeof(T)), sizeof(T));
    } else {
      for (auto& element : field) read_field(r, element);
    }
  } else {
    field = r.value<T>();
  }
}

// A bit-field is read as its declared type and then put into fewer bits, those it was written from.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#endif
template <class T>
struct FieldByField {
  template <class W>
  static void write(W& w, const T& value) {
    split(value, [&w](const auto&... field) { (w.value(field), ...); });
  }

  static T read(Reader& r) { return read_as(r, static_cast<FieldsOf<T>*>(nullptr)); }

 private:
  template <class... Field>
  static T read_as(Reader& r, TypeList<Field...>*) {
    if constexpr ((std::is_array_v<Field> || ...)) {
      static_assert(std::is_default_constructible_v<T> && (... && !std::is_const_v<Field>),
                    "an aggregate with a C array among its fields must be default constructible and "
                    "have no const fields, or have a retinue::Codec");
      T value{};
      split(value, [&r](auto&... field) { (read_field(r, field), ...); });
      return value;
    } else if constexpr (requires { T{std::declval<std::remove_const_t<Field>>()...}; }) {
      return T{r.value<std::remove_const_t<Field>>()...};  // in order: braces evaluate left to right
    } else {
      return T(r.value<std::remove_const_t<Field>>()...);  // bit-fields, which braces call narrowed; in order too
    }
  }
};
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace retinue::detail
