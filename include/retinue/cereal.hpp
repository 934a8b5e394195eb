// Types that cereal can serialise travel as they are: include this header and use them.
//
//     struct Particle {
//       double mass;
//       std::shared_ptr<Cache> cache;                       // keeps it from travelling by itself
//       template <class Archive> void serialize(Archive& archive) { archive(mass); }
//     };
//     pool.submit([](const Particle& p) { return p.mass; }, particle);
//
// Understood, in cereal's forms: `serialize`, or `save` and `load`; members or free functions found
// with the type; with the class version as a further parameter or without; `archive(a, b)` and
// `archive & a`; name-value pairs, size tags, base_class and binary_data. The type must be default
// constructible. cereal itself need not be installed; where it is used, include its headers first, so
// that private functions (`friend class cereal::access`) and CEREAL_CLASS_VERSION are seen.
//
// Not understood: pointers to polymorphic classes, save_minimal, load_and_construct. A type's own
// retinue::Codec comes before its cereal functions. Include this header in every file that sends such
// a type, or in none. Thread-safety is that of codec.hpp.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <retinue/codec.hpp>
#include <retinue/detail/codec/cereal_style.hpp>

namespace retinue {
namespace detail::cereal_style {

template <class W>
class OutputArchive;
class InputArchive;

using CountingArchive = OutputArchive<SizeCounter>;

template <class T>
concept Serializable =
    (std::is_class_v<T> || std::is_union_v<T>) && !BuiltinCodec<T>::kKnown && std::is_default_constructible_v<T> &&
    ((Serializes<CountingArchive, T> && Serializes<InputArchive, T>) ||
     (Saves<CountingArchive, T> && Loads<InputArchive, T>));

/// cereal's wrappers hold references or pointers, so they do not travel by themselves.
template <class T>
concept Wrapper = std::is_class_v<T> && !HasCodec<T>;
template <class T>
concept NamedValue = Wrapper<T> && requires(T& t) {
  t.name;
  t.value;
} && !travels<T>();
template <class T>
concept Entry = Wrapper<T> && requires(T& t) {
  t.key;
  t.value;
} && !travels<T>();
template <class T>
concept Deferred = Wrapper<T> && !NamedValue<T> && !Entry<T> && requires(T& t) { t.value; } && !travels<T>();
template <class T>
concept BaseClass = Wrapper<T> && requires(T& t) { *t.base_ptr; };
template <class T>
concept Binary = Wrapper<T> && requires(T& t) {
  t.data;
  t.size;
} && std::is_pointer_v<decltype(T::data)>;
template <class T>
concept SizeTag = Wrapper<T> && !std::is_default_constructible_v<T> && sizeof(T) == sizeof(std::uint64_t) &&
                  requires(T& t) { t.size; } && std::is_integral_v<std::remove_reference_t<decltype(T::size)>>;

/// What a type's functions see as the archive while it is counted or written.
template <class W>
class OutputArchive {
 public:
  using is_saving = std::true_type;
  using is_loading = std::false_type;

  explicit OutputArchive(W& w) : w_(w) {}

  template <class... T>
  OutputArchive& operator()(const T&... values) {
    (put(values), ...);
    return *this;
  }
  template <class T>
  OutputArchive& operator&(const T& value) {
    return (*this)(value);
  }
  template <class T>
  OutputArchive& operator<<(const T& value) {
    return (*this)(value);
  }
  void saveBinary(const void* data, std::size_t n) { w_.bytes(data, n); }

  template <class T>
  void write_members(const T& value) {
    if constexpr (Serializes<OutputArchive, T>) call_serialize(*this, const_cast<T&>(value));  // as cereal does
    else call_save(*this, value);
  }

 private:
  template <class T>
  void put(const T& value) {
    if constexpr (std::is_array_v<T>) {
      for (const auto& element : value) put(element);
    } else if constexpr (BaseClass<T>) {
      using Base = std::remove_cvref_t<decltype(*value.base_ptr)>;
      if constexpr (Serializable<Base> || std::is_abstract_v<Base>) write_members<Base>(*value.base_ptr);
      else w_.value(*value.base_ptr);
    } else if constexpr (Binary<T>) {
      w_.bytes(value.data, static_cast<std::size_t>(value.size));
    } else if constexpr (SizeTag<T>) {
      put(value.size);
    } else if constexpr (NamedValue<T> || Deferred<T>) {
      put(value.value);
    } else if constexpr (Entry<T>) {
      put(value.key);
      put(value.value);
    } else {
      w_.value(value);
    }
  }

  W& w_;
};

/// What a type's functions see as the archive while it is read.
class InputArchive {
 public:
  using is_saving = std::false_type;
  using is_loading = std::true_type;

  explicit InputArchive(Reader& r) : r_(r) {}

  template <class... T>
  InputArchive& operator()(T&&... values) {
    (get(values), ...);
    return *this;
  }
  template <class T>
  InputArchive& operator&(T&& value) {
    return (*this)(value);
  }
  template <class T>
  InputArchive& operator>>(T&& value) {
    return (*this)(value);
  }
  void loadBinary(void* data, std::size_t n) {
    const std::byte* bytes = r_.bytes(n);
    if (n != 0) std::memcpy(data, bytes, n);
  }

  template <class T>
  void read_members(T& value) {
    if constexpr (Serializes<InputArchive, T>) call_serialize(*this, value);
    else call_load(*this, value);
  }

 private:
  template <class T>
  void get(T& value) {
    if constexpr (std::is_array_v<T>) {
      for (auto& element : value) get(element);
    } else if constexpr (BaseClass<T>) {
      using Base = std::remove_cvref_t<decltype(*value.base_ptr)>;
      if constexpr (Serializable<Base> || std::is_abstract_v<Base>) read_members(*value.base_ptr);
      else *value.base_ptr = r_.value<Base>();
    } else if constexpr (Binary<T>) {
      loadBinary(value.data, static_cast<std::size_t>(value.size));
    } else if constexpr (SizeTag<T>) {
      get(value.size);
      if (value.size > r_.remaining()) damaged("a size is larger than what follows");
    } else if constexpr (NamedValue<T> || Deferred<T>) {
      get(value.value);
    } else if constexpr (Entry<T>) {
      get(value.key);
      get(value.value);
    } else {
      value = r_.value<T>();
    }
  }

  Reader& r_;
};

}  // namespace detail::cereal_style

/// Gives types with cereal functions their Codec.
template <class T>
  requires detail::cereal_style::Serializable<T>
struct Codec<T> {
  template <class W>
  static void write(W& w, const T& value) {
    detail::cereal_style::OutputArchive<W>(w).write_members(value);
  }
  static T read(Reader& r) {
    T value{};
    detail::cereal_style::InputArchive(r).read_members(value);
    return value;
  }
};

}  // namespace retinue
