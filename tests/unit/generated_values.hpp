// Values of every kind that travels, from a seed: mostly small, often at an edge (empty, the largest
// number, NaN, an embedded NUL), now and then long.
#pragma once

#include <retinue/codec.hpp>

#include <bitset>
#include <chrono>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

namespace retinue_test {

/// Fills values that were default-constructed. The same seed gives the same values.
///
/// A type of a test's own that is no plain aggregate has a member `void generate(Generator&)`.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  /// A value of at most a few thousand elements, however deep the type.
  template <class T>
  T make() {
    left_ = 2000;
    T value{};
    fill(value);
    return value;
  }

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  template <class T>
  void fill(T& value) {
    if constexpr (requires { value.generate(*this); }) value.generate(*this);
    else if constexpr (std::is_same_v<T, bool>) value = one_in(2);
    else if constexpr (std::is_integral_v<T>) value = integer<T>();
    else if constexpr (std::is_floating_point_v<T>) value = floating<T>();
    else if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> number;
      fill(number);
      value = static_cast<T>(number);
    } else if constexpr (std::is_array_v<T>) {
      for (auto& element : value) fill(element);
    } else fill_class(value);
  }

 private:
  template <class T>
  T integer() {
    using Limits = std::numeric_limits<T>;
    const T edges[] = {T(0), T(1), T(-1), Limits::min(), Limits::max(), T(Limits::max() - 1)};
    if (one_in(2)) return edges[below(std::size(edges))];
    return static_cast<T>(random_() >> below(64));
  }

  template <class T>
  T floating() {
    using Limits = std::numeric_limits<T>;
    const T edges[] = {T(0),
                       -T(0),
                       Limits::min(),
                       Limits::denorm_min(),
                       Limits::max(),
                       Limits::lowest(),
                       Limits::infinity(),
                       -Limits::infinity(),
                       Limits::quiet_NaN(),
                       -Limits::quiet_NaN()};
    if (one_in(2)) return edges[below(std::size(edges))];
    return static_cast<T>(std::ldexp(static_cast<double>(random_()), static_cast<int>(below(200)) - 100));
  }

  /// How many elements; fewer the deeper we are, and none once the value has had its share.
  std::size_t length() {
    std::size_t n = depth_ > 6 || one_in(4) ? 0 : below(std::uint64_t{10} >> depth_ / 2) + one_in(2);
    if (depth_ <= 1 && one_in(12)) n = 100 + below(300);
    n = std::min(n, left_);
    left_ -= n;
    return n;
  }

  template <class T>
  void fill_class(std::vector<T>& v) {
    fill_run(v);
  }
  void fill_class(std::vector<bool>& v) {
    v.resize(length());
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = one_in(2);
  }
  template <class C>
  void fill_class(std::basic_string<C>& s) {
    fill_run(s);
  }
  void fill_class(std::filesystem::path& p) {
    std::string s = make_inner<std::string>();
    for (char& c : s) c = one_in(4) ? '/' : one_in(3) ? '.' : c;
    p = s;
  }
  template <class T>
  void fill_class(std::optional<T>& o) {
    if (!one_in(3)) o.emplace(make_inner<T>());
  }
  template <class T>
  void fill_class(std::unique_ptr<T>& p) {
    if (depth_ < 8 && !one_in(3)) p = std::make_unique<T>(make_inner<T>());
  }
  template <class T, std::size_t n>
  void fill_class(std::array<T, n>& a) {
    for (T& element : a) fill(element);
  }
  template <class A, class B>
  void fill_class(std::pair<A, B>& p) {
    fill(p.first), fill(p.second);
  }
  template <class... T>
  void fill_class(std::tuple<T...>& t) {
    std::apply([&](T&... element) { (fill(element), ...); }, t);
  }
  template <class... T>
  void fill_class(std::variant<T...>& v) {
    const std::size_t wanted = below(sizeof...(T));
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((I == wanted ? static_cast<void>(v.template emplace<I>(make_inner<T>())) : void()), ...);
    }(std::index_sequence_for<T...>());
  }
  template <class Rep, class Period>
  void fill_class(std::chrono::duration<Rep, Period>& d) {
    d = std::chrono::duration<Rep, Period>(make_inner<Rep>());
  }
  template <class Clock, class Duration>
  void fill_class(std::chrono::time_point<Clock, Duration>& t) {
    t = std::chrono::time_point<Clock, Duration>(make_inner<Duration>());
  }
  void fill_class(std::chrono::year_month_day& d) {
    const auto from_one_to = [this](std::uint64_t n) { return static_cast<unsigned>(1 + below(n)); };
    d = {std::chrono::year(static_cast<int>(below(4000))), std::chrono::month(from_one_to(12)),
         std::chrono::day(from_one_to(31))};
  }
  template <class T>
  void fill_class(std::complex<T>& c) {
    c = {make_inner<T>(), make_inner<T>()};
  }
  template <std::size_t n>
  void fill_class(std::bitset<n>& b) {
    for (std::size_t i = 0; i < n; ++i) b[i] = one_in(2);
  }
  void fill_class(std::monostate&) {}

  template <class T>
  void fill_class(T& value) {
    if constexpr (requires { value.emplace_hint(value.end(), make_inner<typename T::value_type>()); }) {
      for (std::size_t n = length(); n > 0; --n) value.insert(make_element(value));
    } else if constexpr (requires { value.push_front(make_inner<typename T::value_type>()); }) {
      for (std::size_t n = length(); n > 0; --n) value.push_front(make_inner<typename T::value_type>());
    } else {
      const Deeper deeper(depth_);
      retinue::detail::split(value, [&](auto&... field) { (fill(field), ...); });
    }
  }

  /// An element for a set or a map, whose own keys are const.
  template <class Container>
  auto make_element(const Container&) {
    using Key = typename Container::key_type;
    if constexpr (requires { typename Container::mapped_type; }) {
      Key key = make_inner<Key>();
      return typename Container::value_type(std::move(key), make_inner<typename Container::mapped_type>());
    } else {
      return make_inner<Key>();
    }
  }

  template <class Run>
  void fill_run(Run& run) {
    run.resize(length());
    const Deeper deeper(depth_);
    for (auto& element : run) fill(element);
  }

  template <class T>
  T make_inner() {
    const Deeper deeper(depth_);
    T value{};
    fill(value);
    return value;
  }

  struct Deeper {
    explicit Deeper(unsigned& depth) : depth_(depth) { ++depth_; }
    ~Deeper() { --depth_; }
    unsigned& depth_;
  };

  std::mt19937_64 random_;
  unsigned depth_ = 0;
  std::size_t left_ = 0;
};

}  // namespace retinue_test
