// Calls as payloads: which arguments reach which parameters, and how.
#include <retinue/detail/codec/call_traits.hpp>

#include "payload_memory.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace codec_call_test {

using retinue::Reach;
using retinue::detail::Call;

/// What the engine does with a task, in one process. `where` says what memory the payload was in.
template <class F, class... A>
auto run(F&& f, A&&... a) {
  using TheCall = Call<F, A...>;
  static_assert(TheCall::check());
  const std::size_t n = TheCall::size(Reach::same_region, f, a...);
  const retinue_test::Payload memory(std::vector<std::byte>(n, std::byte{0xee}));
  TheCall::write(memory.data(), n, Reach::same_region, f, std::forward<A>(a)...);
  retinue::Reader r = memory.reader();
  struct AllRead {
    retinue::Reader& r;
    ~AllRead() { EXPECT_EQ(r.remaining(), 0u); }
  } all_read{r};
  return TheCall::invoke(r);
}

int square(int x) { return x * x; }
int noexcept_square(int x) noexcept { return x * x; }
double total(std::span<const double> v) { return std::accumulate(v.begin(), v.end(), 0.0); }
int fill(std::span<int> v) {
  for (int& x : v) x = 2;
  return std::accumulate(v.begin(), v.end(), 0);
}
std::size_t length(const char* s) { return std::string_view(s).size(); }
std::string_view first_two(std::string_view s) { return s.substr(0, 2); }
std::span<const int> first_half(std::span<const int> s) { return s.first(s.size() / 2); }
const std::string& same(const std::string& s) { return s; }
double scaled_sum(double scale, int a, int b) { return scale * (a + b); }
int three(std::span<const int, 3> v) { return v[0] + v[1] + v[2]; }
void nothing() {}

struct Counter {
  int start;
  int plus(int x) const { return start + x; }
  int bump() { return ++start; }
};
struct Overloaded {
  int operator()(int) const { return 1; }
  int operator()(const std::string&) const { return 2; }
};
struct WithDefault {
  int operator()(int a, int b = 10) const { return a + b; }
};

TEST(Call, arguments_are_converted_to_the_parameters_types_in_the_owner) {
  EXPECT_EQ(run(square, 3), 9);
  EXPECT_EQ(run(square, 3.7), 9);
  EXPECT_EQ(run(noexcept_square, 3L), 9);
  EXPECT_EQ(run([](const std::string& s, std::optional<int> o) { return s + std::to_string(o.value_or(0)); }, "a", 4),
            "a4");
  static_assert(std::is_same_v<Call<int (*)(int), double>::Encoded, std::tuple<int>>);
}

TEST(Call, a_stateless_function_takes_no_bytes_and_a_pointer_eight) {
  const auto add_one = [](int x) { return x + 1; };
  EXPECT_EQ((Call<decltype(add_one), int>::size(Reach::same_region, add_one, 1)), 4u);
  EXPECT_EQ((Call<int (*)(int), int>::size(Reach::same_region, &square, 1)), 12u);
  EXPECT_EQ((Call<std::plus<>, int, int>::size(Reach::same_region, {}, 1, 2)), 8u);
}

TEST(Call, ranges_reach_span_parameters_without_a_copy) {
  std::vector<double> v(100, 0.5);
  EXPECT_EQ(run(total, v), 50.0);
  EXPECT_EQ(run(total, std::vector<double>(4, 1.0)), 4.0);
  EXPECT_EQ(run(total, std::array{1.0, 2.0}), 3.0);
  EXPECT_EQ(run(total, std::span(v).first(2)), 1.0);
  double array[] = {1, 2, 3};
  EXPECT_EQ(run(total, array), 6.0);
  EXPECT_EQ(run(three, std::array{1, 2, 3}), 6);
  using InPlace = Call<decltype(&total), std::vector<double>>;
  static_assert(std::is_same_v<InPlace::Encoded, std::tuple<std::span<const double>>>);
  static_assert(std::is_same_v<InPlace::Decoded, std::tuple<std::span<const double>>>);
}

TEST(Call, views_given_to_the_function_lie_in_the_payload) {
  using Where = Call<const char* (*)(std::string_view), std::string>;
  static_assert(std::is_same_v<Where::Decoded, std::tuple<std::string_view>>);
  const auto where = [](std::string_view s, std::span<const int> v) {
    return std::pair(reinterpret_cast<std::uintptr_t>(s.data()), reinterpret_cast<std::uintptr_t>(v.data()));
  };
  using TheCall = Call<decltype(where), std::string, std::vector<int>>;
  const std::string s = "odd";
  const std::vector<int> v{1, 2};
  const retinue_test::Payload memory(std::vector<std::byte>(TheCall::size(Reach::same_region, where, s, v)));
  TheCall::write(memory.data(), memory.size(), Reach::same_region, where, s, v);
  retinue::Reader r = memory.reader();
  const auto [text, numbers] = TheCall::invoke(r);
  EXPECT_TRUE(memory.contains(reinterpret_cast<void*>(text)) && memory.contains(reinterpret_cast<void*>(numbers)));
  EXPECT_EQ(numbers % alignof(int), 0u);
}

TEST(Call, a_span_that_can_be_written_to_is_a_private_copy) {
  std::vector<int> v(5, 1);
  EXPECT_EQ(run(fill, v), 10);
  EXPECT_EQ(v[0], 1);
  EXPECT_EQ(run([](std::span<const std::string> s) { return s[1]; }, std::vector<std::string>{"a", "b"}), "b");
}

TEST(Call, literals_and_strings_reach_every_kind_of_string_parameter) {
  EXPECT_EQ(run(length, "hello"), 5u);
  EXPECT_EQ(run(length, std::string("hello")), 5u);
  EXPECT_EQ(run(first_two, "hello"), "he");
  EXPECT_EQ(run(same, std::string_view("view")), "view");
  EXPECT_EQ(run([](auto s) { return s.size(); }, "generic"), 7u);
  EXPECT_THROW(run(length, static_cast<const char*>(nullptr)), retinue::Error);
}

TEST(Call, results_own_what_they_hold) {
  static_assert(std::is_same_v<Call<decltype(&first_two), std::string>::Result, std::string>);
  static_assert(std::is_same_v<Call<decltype(&first_half), std::vector<int>>::Result, std::vector<int>>);
  static_assert(std::is_same_v<Call<decltype(&same), std::string>::Result, std::string>);
  static_assert(std::is_void_v<Call<decltype(&nothing)>::Result>);
  EXPECT_EQ(run(first_half, std::vector{1, 2, 3, 4}), (std::vector{1, 2}));
  run(nothing);
}

TEST(Call, members_are_called_on_an_object_that_travelled) {
  EXPECT_EQ(run(&Counter::plus, Counter{3}, 4), 7);
  EXPECT_EQ(run(&Counter::bump, Counter{3}), 4);
  EXPECT_EQ(run(&Counter::start, Counter{3}), 3);
  EXPECT_EQ(run(&Counter::plus, std::make_unique<Counter>(Counter{3}), 4), 7);
}

TEST(Call, closures_carry_what_they_captured) {
  int k = 3;
  EXPECT_EQ(run([k](int x) { return x + k; }, 4), 7);
  EXPECT_EQ(run([k, n = 0](int x) mutable { return x + k + ++n; }, 4), 8);
  const std::optional<int> limit = 5;
  EXPECT_EQ(run(retinue::bitwise([limit](int x) { return x + *limit; }), 4.5), 9);
}

TEST(Call, functions_with_bound_arguments_travel) {
  EXPECT_EQ(run(std::bind_front(scaled_sum, 100.0), 1, 2), 300.0);
  EXPECT_EQ(run(std::bind_front(scaled_sum, 100.0, 1), 2), 300.0);
  EXPECT_EQ(run(std::bind_front(&Counter::plus, Counter{1}), 2), 3);
  EXPECT_EQ(run(retinue::bind_front(scaled_sum, 100.0), 1, 2.9), 300.0);
  const auto join = [](const std::string& glue, const std::vector<std::string>& words, std::string_view end) {
    std::string all;
    for (const std::string& w : words) all += w + glue;
    return all + std::string(end);
  };
  EXPECT_EQ(run(retinue::bind_front(join, "-", std::vector<std::string>{"a", "b"}), "c"), "a-b-c");
}

TEST(Call, overloads_and_defaults_and_generic_functions_are_called_with_the_arguments_own_types) {
  EXPECT_EQ(run(Overloaded(), 1), 1);
  EXPECT_EQ(run(Overloaded(), "s"), 2);
  EXPECT_EQ(run(WithDefault(), 1), 11);
  EXPECT_EQ(run(WithDefault(), 1, 2), 3);
  EXPECT_EQ(run(std::plus<>(), 1, 2.5), 3.5);
  std::vector<bool> bits{true};
  EXPECT_TRUE(run([](auto b) { return b; }, bits[0]));
  int numbers[] = {1, 2};
  EXPECT_EQ(run(
                [](auto v) {
                  v[0] = 5;
                  return v[0] + v[1];
                },
                std::span<int>(numbers)),
            7);
  EXPECT_EQ(numbers[0], 1);
}

TEST(Call, what_can_only_be_moved_is_an_argument_and_a_result) {
  EXPECT_EQ(*run([](std::unique_ptr<int> p) { return std::make_unique<int>(*p + 1); }, std::make_unique<int>(4)), 5);
  EXPECT_EQ(run([](std::unique_ptr<int>&& p) { return *p; }, std::make_unique<int>(4)), 4);
}

TEST(Call, functions_are_arguments_too) {
  EXPECT_EQ(run([](int (*f)(int), int x) { return f(x); }, square, 5), 25);
  EXPECT_EQ(run([](auto f, int x) { return f(x); }, [](int x) { return x + 1; }, 5), 6);
}

TEST(Call, a_damaged_call_is_refused) {
  using TheCall = Call<int (*)(int), int>;
  alignas(32) std::byte bytes[12];
  TheCall::write(bytes, 12, Reach::same_region, &square, 3);
  for (std::size_t n = 0; n < 12; ++n) {
    retinue::Reader r(bytes, n);
    EXPECT_THROW(TheCall::invoke(r), retinue::CodecError);
  }
  bytes[7] = std::byte{0xff};
  retinue::Reader r(bytes, 12);
  EXPECT_THROW(TheCall::invoke(r), retinue::CodecError);
}

}  // namespace codec_call_test
