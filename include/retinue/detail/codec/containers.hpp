// Containers that are read element by element: sequences, sets and maps.
#pragma once

#include <retinue/detail/codec/ranges.hpp>

#include <array>
#include <deque>
#include <forward_list>
#include <iterator>
#include <list>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace retinue::detail {

template <class T, std::size_t n>
struct BuiltinCodec<std::array<T, n>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<T>;

  template <class W>
  static void write(W& w, const std::array<T, n>& a) {
    for (const T& element : a) w.value(element);
  }
  static std::array<T, n> read(Reader& r) { return read_at(r, std::make_index_sequence<n>()); }

 private:
  template <std::size_t... Index>
  static std::array<T, n> read_at(Reader& r, std::index_sequence<Index...>) {
    if constexpr (n <= 64) {
      return {{(static_cast<void>(Index), r.value<std::remove_const_t<T>>())...}};
    } else {
      static_assert(std::is_default_constructible_v<T>, "a std::array of more than 64 elements that have no default");
      std::array<T, n> a{};
      for (T& element : a) element = r.value<T>();
      return a;
    }
  }
};

/// Lists and deques: anything with emplace_back.
template <class Sequence>
struct SequenceCodec {
  using Element = typename Sequence::value_type;
  static constexpr bool kKnown = true;
  using Parts = TypeList<Element>;

  template <class W>
  static void write(W& w, const Sequence& s) {
    write_each(w, s.size(), s);
  }

  static Sequence read(Reader& r) {
    Sequence s;
    read_each(r, read_length(r), [&s](Reader& from) { s.push_back(from.value<Element>()); });
    return s;
  }
};

template <class T, class Allocator>
struct BuiltinCodec<std::deque<T, Allocator>> : SequenceCodec<std::deque<T, Allocator>> {};
template <class T, class Allocator>
struct BuiltinCodec<std::list<T, Allocator>> : SequenceCodec<std::list<T, Allocator>> {};

template <class T, class Allocator>
struct BuiltinCodec<std::forward_list<T, Allocator>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<T>;

  template <class W>
  static void write(W& w, const std::forward_list<T, Allocator>& list) {
    write_each(w, static_cast<std::size_t>(std::distance(list.begin(), list.end())), list);
  }
  static std::forward_list<T, Allocator> read(Reader& r) {
    std::forward_list<T, Allocator> list;
    auto last = list.before_begin();
    read_each(r, read_length(r), [&](Reader& from) { last = list.insert_after(last, from.value<T>()); });
    return list;
  }
};

/// Orders, hashes and equalities are made anew where the container is read, so they may hold nothing.
template <class Container, class... Policy>
using PolicyParts = std::conditional_t<(std::is_empty_v<Policy> && ...), TypeList<>, TypeList<Refused<Container>>>;

template <class List, class... More>
struct AppendTypes;
template <class... T, class... More>
struct AppendTypes<TypeList<T...>, More...> {
  using Type = TypeList<T..., More...>;
};

template <class Set, class... Policy>
struct SetCodec {
  using Key = typename Set::key_type;
  static constexpr bool kKnown = true;
  using Parts = typename AppendTypes<PolicyParts<Set, Policy...>, Key>::Type;

  template <class W>
  static void write(W& w, const Set& set) {
    write_each(w, set.size(), set);
  }

  static Set read(Reader& r) {
    Set set;
    const std::size_t n = read_length(r);
    if constexpr (requires { set.reserve(n); }) set.reserve(prudent_room<Key>(r, n));
    read_each(r, n, [&set](Reader& from) { set.insert(set.end(), from.value<Key>()); });
    return set;
  }
};

template <class K, class Order, class A>
struct BuiltinCodec<std::set<K, Order, A>> : SetCodec<std::set<K, Order, A>, Order> {};
template <class K, class Order, class A>
struct BuiltinCodec<std::multiset<K, Order, A>> : SetCodec<std::multiset<K, Order, A>, Order> {};
template <class K, class Hash, class Equal, class A>
struct BuiltinCodec<std::unordered_set<K, Hash, Equal, A>>
    : SetCodec<std::unordered_set<K, Hash, Equal, A>, Hash, Equal> {};
template <class K, class Hash, class Equal, class A>
struct BuiltinCodec<std::unordered_multiset<K, Hash, Equal, A>>
    : SetCodec<std::unordered_multiset<K, Hash, Equal, A>, Hash, Equal> {};

template <class Map, class... Policy>
struct MapCodec {
  using Key = typename Map::key_type;
  using Mapped = typename Map::mapped_type;
  static constexpr bool kKnown = true;
  using Parts = typename AppendTypes<PolicyParts<Map, Policy...>, Key, Mapped>::Type;

  template <class W>
  static void write(W& w, const Map& map) {
    write_length(w, map.size());
    const std::size_t start = w.size();
    for (const auto& [key, mapped] : map) w(key, mapped);
    w.pad_to(start + map.size());
  }

  static Map read(Reader& r) {
    Map map;
    const std::size_t n = read_length(r);
    if constexpr (requires { map.reserve(n); }) map.reserve(prudent_room<typename Map::value_type>(r, n));
    read_each(r, n, [&map](Reader& from) {
      Key key = from.value<Key>();
      map.emplace_hint(map.end(), std::move(key), from.value<Mapped>());
    });
    return map;
  }
};

template <class K, class V, class Order, class A>
struct BuiltinCodec<std::map<K, V, Order, A>> : MapCodec<std::map<K, V, Order, A>, Order> {};
template <class K, class V, class Order, class A>
struct BuiltinCodec<std::multimap<K, V, Order, A>> : MapCodec<std::multimap<K, V, Order, A>, Order> {};
template <class K, class V, class Hash, class Equal, class A>
struct BuiltinCodec<std::unordered_map<K, V, Hash, Equal, A>>
    : MapCodec<std::unordered_map<K, V, Hash, Equal, A>, Hash, Equal> {};
template <class K, class V, class Hash, class Equal, class A>
struct BuiltinCodec<std::unordered_multimap<K, V, Hash, Equal, A>>
    : MapCodec<std::unordered_multimap<K, V, Hash, Equal, A>, Hash, Equal> {};

}  // namespace retinue::detail
