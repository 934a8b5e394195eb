// What is read: types, calls, exceptions, and how each is tried.
#include "fuzz/decoder.hpp"

#include "fuzz/decoder_calls.hpp"
#include "fuzz/decoder_exceptions.hpp"
#include "fuzz/decoder_types.hpp"
#include "fuzz/decoder_values.hpp"

#include <deque>
#include <forward_list>
#include <list>
#include <set>
#include <span>
#include <string_view>
#include <unordered_set>

namespace retinue_fuzz {
namespace {

using std::string;
using std::vector;

/// A type that contains itself, down to the limit or, now and then, beyond it.
constexpr Kind deep_tree(const char* name) {
  Kind kind = value<Tree>(name);
  kind.encode = [](retinue_test::Generator& g) {
    constexpr std::size_t kLimit = retinue::detail::kMaxDepth;
    const std::size_t levels = g.one_in(2) ? kLimit : g.below(2 * kLimit);
    // Each with one child: a value, a length, and no leaf after all of these.
    Input input;
    for (std::size_t level = 1; level <= levels; ++level) {
      const Input head = input_of(retinue_test::Payload(g.make<int>(), std::uint64_t{level < levels}));
      input.insert(input.end(), head.begin(), head.end());
    }
    input.resize(input.size() + levels);
    return input;
  };
  return kind;
}

/// The first byte of an input is an index here: new kinds go to the end, so that old findings stay what they are.
const Kind kKinds[] = {
    value<bool>("bool"),
    value<signed char>("signed char"),
    value<std::uint16_t>("uint16"),
    value<int>("int"),
    value<std::int64_t>("int64"),
    value<float>("float"),
    value<double>("double"),
    loose<long double>("long double"),
    value<Shade>("enum"),
    value<Truth>("enum of bool"),
    value<string>("string"),
    value<std::u16string>("u16string"),
    value<std::u32string>("u32string"),
    view<std::string_view, string>("string_view"),
    view<std::u32string_view, std::u32string>("u32string_view"),
    view<std::span<const double>, vector<double>>("span<double>"),
    view<std::span<const int, 3>, std::vector<int>>("span<int, 3>"),
    view<std::span<const Truth>, vector<Truth>>("span<enum of bool>"),
    view<std::span<const Switch>, vector<Switch>>("span<Switch>"),
    value<vector<char>>("vector<char>"),
    value<vector<int>>("vector<int>"),
    value<vector<double>>("vector<double>"),
    value<vector<bool>>("vector<bool>"),
    loose<vector<Switch>>("vector<Switch>"),
    loose<vector<Wide>>("vector<Wide>"),
    value<vector<string>>("vector<string>"),
    loose<vector<Nothing>>("vector<Nothing>"),
    value<vector<Silent>>("vector<Silent>"),
    view<vector<std::string_view>, vector<string>>("vector<string_view>"),
    value<vector<vector<vector<int>>>>("vector<vector<vector<int>>>"),
    value<std::list<Nothing>>("list<Nothing>"),
    value<std::deque<string>>("deque<string>"),
    value<std::forward_list<int>>("forward_list<int>"),
    value<std::set<string>>("set<string>"),
    value<std::multiset<int>>("multiset<int>"),
    loose<std::unordered_set<string>>("unordered_set<string>"),
    loose<std::unordered_multiset<int>>("unordered_multiset<int>"),
    value<std::map<int, string>>("map<int, string>"),
    value<std::multimap<int, vector<int>>>("multimap<int, vector<int>>"),
    loose<std::unordered_map<string, int>>("unordered_map<string, int>"),
    loose<std::unordered_multimap<int, string>>("unordered_multimap<int, string>"),
    value<std::array<string, 3>>("array<string, 3>"),
    value<std::array<bool, 5>>("array<bool, 5>"),
    value<std::array<vector<char>, 70>>("array<vector<char>, 70>"),
    value<std::optional<string>>("optional<string>"),
    value<std::optional<bool>>("optional<bool>"),
    value<std::variant<std::monostate, int, string, Leaf, vector<double>>>("variant"),
    value<std::tuple<bool, string>>("tuple<bool, string>"),
    value<std::tuple<bool, char, Truth>>("tuple<bool, char, enum of bool>"),
    loose<std::pair<int, bool>>("pair<int, bool>"),
    value<std::chrono::nanoseconds>("nanoseconds"),
    value<std::chrono::system_clock::time_point>("time_point"),
    value<std::chrono::year_month_day>("year_month_day"),
    value<std::complex<float>>("complex<float>"),
    value<std::bitset<64>>("bitset<64>"),
    value<std::filesystem::path>("path"),
    value<std::unique_ptr<Leaf>>("unique_ptr<Leaf>"),
    loose<Switch>("Switch"),
    value<Leaf>("Leaf"),
    value<Tree>("Tree"),
    deep_tree("a Tree as deep as may be"),
    value<Chain>("Chain"),
    loose<Arrays>("Arrays"),
    value<Nested>("Nested"),
    value<Polygon>("Polygon"),
    value<vector<Particle>>("vector<Particle>"),
    value<vector<std::unique_ptr<std::optional<Polygon>>>>("vector<unique_ptr<optional<Polygon>>>"),
    pointer<&twice, &thrice>("int (*)(int)"),
    pointer<&Counter::next, &Counter::virtual_next>("int (Counter::*)()"),
    pointer<&Counter::start, &Counter::step>("int Counter::*"),
    call_with_views("a call with views"),
    call_with_private_spans("a call with private spans"),
    call_with_strings("a call with strings"),
    call_with_containers("a call with containers"),
    call_of_a_closure("a call of a closure"),
    call_of_bound_front("a call of retinue::bind_front"),
    exception("an exception"),
};

}  // namespace

void decode(std::span<const std::uint8_t> input) {
  if (input.size() < 2) return;
  const Kind& kind = kKinds[input[0] % std::size(kKinds)];
  // Mostly aligned, as the engine has it.
  const std::size_t offset = input[1] < 224 ? 0 : input[1] % retinue::detail::kPayloadAlignment;
  const std::span<const std::byte> payload = std::as_bytes(input.subspan(2));
  const Placed placed(payload, offset);
  kind.decode(kind.name, placed.bytes());
}

std::vector<Seed> seeds(unsigned rounds) {
  std::vector<Seed> all;
  for (unsigned round = 0; round < rounds; ++round) {
    for (std::size_t i = 0; i < std::size(kKinds); ++i) {
      retinue_test::Generator generator(1 + round);
      Input input{static_cast<std::uint8_t>(i), 0};
      const Input payload = kKinds[i].encode(generator);
      input.insert(input.end(), payload.begin(), payload.end());
      all.push_back({kKinds[i].name, std::move(input)});
    }
  }
  return all;
}

}  // namespace retinue_fuzz
