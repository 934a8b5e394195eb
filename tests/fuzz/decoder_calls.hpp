// Calls, read and made as workers do. None of them is through a pointer: a damaged one leads anywhere.
#pragma once

#include "fuzz/decoder_types.hpp"
#include "fuzz/decoder_values.hpp"

#include <retinue/detail/codec/call_traits.hpp>

#include <numeric>
#include <span>
#include <string_view>

namespace retinue_fuzz {

/// The payload of f(arguments...).
template <class F, class... A>
Input input_of_call(const F& f, const A&... arguments) {
  using Call = retinue::detail::Call<F, A...>;
  static_assert(Call::check());
  constexpr auto kReach = retinue::Reach::same_region;
  const retinue_test::Payload payload(std::vector<std::byte>(Call::size(kReach, f, arguments...)));
  Call::write(payload.data(), payload.size(), kReach, f, arguments...);
  return input_of(payload);
}

/// Makes the call that a payload holds. A view that f gets lies within the payload, which the address
/// sanitizer sees as f reads all of it.
template <class F, class... A>
void decode_call(const char*, Bytes payload) {
  read_or_refuse(payload, [](retinue::Reader& r) { static_cast<void>(retinue::detail::Call<F, A...>::invoke(r)); });
}

template <class... T>
std::size_t all_read(const T&... ranges) {
  std::size_t sum = 0;
  const auto add = []<class X>(std::size_t s, const X& x) { return 31 * s + std::hash<X>()(x); };
  ((sum = std::accumulate(std::begin(ranges), std::end(ranges), sum, add)), ...);
  return sum;
}

inline Kind call_with_views(const char* name) {
  using Text = std::string;
  using Numbers = std::vector<double>;
  using Bools = std::array<bool, 3>;
  static constexpr auto f = [](int x, std::string_view s, std::span<const double> v, std::span<const bool, 3> bools) {
    return all_read(s, v, bools) + static_cast<std::size_t>(x);
  };
  return {name, &decode_call<decltype(f), int, Text, Numbers, Bools>, [](retinue_test::Generator& g) {
            return input_of_call(f, g.make<int>(), g.make<Text>(), g.make<Numbers>(), g.make<Bools>());
          }};
}

inline Kind call_with_private_spans(const char* name) {
  using Names = std::vector<std::string>;
  using Numbers = std::vector<short>;
  static constexpr auto f = [](std::span<short> numbers, std::span<const std::string> names, std::span<int, 2> two) {
    for (short& n : numbers) n = 1;
    two[0] = two[1];
    return all_read(numbers, names, two);
  };
  return {name, &decode_call<decltype(f), Numbers, Names, std::array<int, 2>>, [](retinue_test::Generator& g) {
            return input_of_call(f, g.make<Numbers>(), g.make<Names>(), g.make<std::array<int, 2>>());
          }};
}

inline Kind call_with_strings(const char* name) {
  using Text = std::string;
  static constexpr auto f = [](const char* c, const std::string& s, std::u16string u) {
    return std::string_view(c).size() + all_read(s, u);
  };
  return {name, &decode_call<decltype(f), Text, std::string_view, std::u16string>, [](retinue_test::Generator& g) {
            const Text c = g.make<Text>(), s = g.make<Text>();
            return input_of_call(f, c, std::string_view(s), g.make<std::u16string>());
          }};
}

inline Kind call_with_containers(const char* name) {
  using Found = std::optional<Tree>;
  // Takes anything, so that the arguments travel as what they are.
  static constexpr auto f = [](auto&& nested, auto&& polygon, auto&& tree) {
    return nested.size() + polygon.corners().size() + (tree ? tree->children.size() : 0);
  };
  return {name, &decode_call<decltype(f), Nested, Polygon, Found>, [](retinue_test::Generator& g) {
            return input_of_call(f, g.make<Nested>(), g.make<Polygon>(), g.make<Found>());
          }};
}

inline auto closure(int a, double b) {
  return [a, b](std::optional<int> x) { return a + b + x.value_or(0); };
}

inline Kind call_of_a_closure(const char* name) {
  using F = decltype(closure(0, 0));
  return {name, &decode_call<F, std::optional<int>>, [](retinue_test::Generator& g) {
            return input_of_call(closure(g.make<int>(), g.make<double>()), g.make<std::optional<int>>());
          }};
}

struct LookUp {
  std::size_t operator()(const std::vector<int>& table, const std::string& s, std::size_t i) const {
    return i < table.size() ? static_cast<std::size_t>(table[i]) : s.size();
  }
};

inline Kind call_of_bound_front(const char* name) {
  using F = decltype(retinue::bind_front(LookUp(), std::vector<int>(), std::string()));
  return {name, &decode_call<F, std::size_t>, [](retinue_test::Generator& g) {
            return input_of_call(retinue::bind_front(LookUp(), g.make<std::vector<int>>(), g.make<std::string>()),
                                 g.make<std::size_t>());
          }};
}

}  // namespace retinue_fuzz
