// Payloads that no writer wrote: cut short, with bits flipped, or pure noise. Reading them must end
// in a value or in CodecError, never outside the payload, and must not ask for much more memory than
// the payload has bytes. Run under the address and undefined-behaviour sanitizers too.
#include "payload_memory.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

namespace codec_damage_test {

using retinue_test::Payload;

struct Leaf {
  std::string s;
  int a[3];
  std::optional<double> d;
  bool operator==(const Leaf&) const = default;
};
struct Tree {
  int value;
  std::vector<Tree> children;
  std::unique_ptr<Leaf> leaf;
};
struct Chain {
  std::unique_ptr<Chain> next;
};
struct Nothing {
  bool operator==(const Nothing&) const = default;
};
struct Silent {
  Silent() {}
  Silent(const Silent&) {}
};  // not trivial, and its codec writes nothing

}  // namespace codec_damage_test

template <>
struct retinue::Codec<codec_damage_test::Silent> {
  template <class W>
  static void write(W&, const codec_damage_test::Silent&) {}
  static codec_damage_test::Silent read(Reader&) { return {}; }
};

namespace codec_damage_test {

using Nested = std::map<std::string,
                        std::vector<std::optional<std::tuple<int, std::string, std::variant<int, std::string, Leaf>>>>>;

/// Reads a T from the bytes; true if there was one.
template <class T>
bool read_any(const std::vector<std::byte>& bytes) {
  const Payload payload(bytes);
  retinue::Reader r = payload.reader();
  try {
    const T value = r.value<T>();
    static_cast<void>(value);
    return true;
  } catch (const retinue::Error&) {
    return false;
  }
}

template <class... T>
void read_all(const std::vector<std::byte>& bytes) {
  (static_cast<void>(read_any<T>(bytes)), ...);
}

void read_everything(const std::vector<std::byte>& bytes) {
  read_all<std::string, std::u32string, std::string_view, std::span<const double>, std::span<const int, 3>,
           std::vector<int>, std::vector<bool>, std::span<const bool>, std::vector<std::string>, std::list<Nothing>,
           std::vector<Silent>, std::map<int, std::string>, std::unordered_map<std::string, int>,
           std::unordered_set<std::string>, std::multiset<int>, std::optional<std::string>,
           std::variant<int, std::string, Leaf>, std::tuple<bool, std::string>, Leaf, Tree, Chain, Nested,
           std::array<std::string, 3>, std::filesystem::path, std::unique_ptr<Leaf>, int (*)(int), int (Leaf::*)()>(
      bytes);
}

Nested example() {
  return {{"first", {{}, {{1, "one", 2}}, {{3, "three", "four"}}}},
          {"second", {{{5, "five", Leaf{"leaf", {1, 2, 3}, 0.5}}}}}};
}

TEST(Codec, a_truncated_vector_is_refused) {
  const auto bytes = Payload(std::vector<int>{1, 2, 3}).bytes();
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(read_any<std::vector<int>>({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)}));
}

TEST(Codec, a_truncated_nested_value_is_refused_wherever_it_is_cut) {
  const auto bytes = Payload(example()).bytes();
  ASSERT_TRUE(read_any<Nested>(bytes));
  for (std::size_t n = 0; n < bytes.size(); ++n)
    EXPECT_FALSE(read_any<Nested>({bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)})) << n;
}

TEST(Codec, a_length_beyond_the_payload_is_refused_before_memory_is_asked_for) {
  for (const std::uint64_t n : {std::uint64_t{1} << 62, ~std::uint64_t{0}, std::uint64_t{1} << 40, std::uint64_t{9}}) {
    const auto bytes = Payload(n, std::uint64_t{0}).bytes();
    EXPECT_FALSE(read_any<std::vector<double>>(bytes));
    EXPECT_FALSE(read_any<std::string>(bytes)) << n;
    EXPECT_FALSE(read_any<std::vector<std::string>>(bytes));
    EXPECT_FALSE(read_any<std::list<Nothing>>(bytes));
    EXPECT_FALSE(read_any<std::vector<Silent>>(bytes));
    EXPECT_FALSE((read_any<std::unordered_map<int, int>>(bytes)));
    EXPECT_FALSE(read_any<std::vector<bool>>(bytes));
  }
}

TEST(Codec, elements_without_bytes_still_arrive_in_number) {
  EXPECT_EQ(retinue_test::round_trip(std::vector<Silent>(1000)).size(), 1000u);
  EXPECT_EQ(retinue_test::round_trip(std::list<Nothing>(1000)).size(), 1000u);
  EXPECT_EQ((retinue_test::round_trip(std::map<int, Nothing>{{1, {}}, {2, {}}}).size()), 2u);
}

TEST(Codec, endless_nesting_ends_in_an_error) {
  EXPECT_FALSE(read_any<Chain>(std::vector<std::byte>(100'000, std::byte{1})));
}

TEST(Codec, a_bool_that_is_neither_is_taken_as_true_alone_and_refused_in_a_run) {
  EXPECT_TRUE(retinue_test::Payload(std::vector<std::byte>{std::byte{7}}).reader().value<bool>());
  auto bytes = Payload(std::vector<std::byte>{std::byte{1}, std::byte{2}}).bytes();
  EXPECT_FALSE(read_any<std::span<const bool>>(bytes));
}

enum class Truth : bool { no, yes };
struct Switch {
  bool on;
  Truth truth;
  std::array<bool, 2> more;
};
struct Switches {
  std::string name;
  Switch each[2];
};

/// How many of a value's bytes matter: to put a 7 there makes it one that is refused.
template <class T>
int refused_sevens(const T& value) {
  const auto bytes = Payload(value).bytes();
  int refused = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] = std::byte{7};
    refused += !read_any<T>(damaged);
  }
  return refused;
}

TEST(Codec, a_bool_that_is_neither_is_refused_within_what_is_copied_by_its_bytes) {
  static_assert(retinue::detail::bitwise<Switch> && retinue::detail::bitwise<std::tuple<char, bool>>);
  EXPECT_EQ(refused_sevens(Truth::yes), 0) << "alone it is taken as true";
  EXPECT_EQ(Payload(std::vector<std::byte>{std::byte{7}}).reader().value<Truth>(), Truth::yes);
  EXPECT_EQ(refused_sevens(Switch{}), 4);
  EXPECT_EQ((refused_sevens(std::array<bool, 5>{})), 5);
  EXPECT_EQ((refused_sevens(std::pair<char, bool>{})), 1);
  EXPECT_EQ((refused_sevens(std::tuple<char, bool, Truth>{})), 2);
  EXPECT_EQ((refused_sevens(std::array<std::pair<char, Switch>, 2>{})), 8);
  const std::vector<Switch> run(3);
  const auto bytes = Payload(run).bytes();
  for (std::size_t i = 8; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] = std::byte{2};
    EXPECT_FALSE(read_any<std::vector<Switch>>(damaged)) << i;
    EXPECT_FALSE(read_any<std::span<const Switch>>(damaged)) << i;
    EXPECT_FALSE((read_any<std::span<const Switch, 3>>(damaged))) << i;
  }
  EXPECT_EQ(refused_sevens(Switches{}), 8 + 8) << "those of the length and those of the array";
}

TEST(Codec, bytes_left_over_are_refused) {
  const Payload payload(1, 2);
  retinue::Reader r = payload.reader();
  EXPECT_THROW(retinue::detail::read_payload<int>(r), retinue::CodecError);
}

TEST(Codec, a_value_that_grows_while_it_is_written_does_no_damage) {
  std::vector<std::byte> memory(8);
  EXPECT_THROW(retinue::detail::write_payload(memory.data(), 8, std::string("longer than that")), retinue::CodecError);
  EXPECT_THROW(retinue::detail::write_payload(memory.data(), 8, 1), retinue::CodecError) << "nor one that shrinks";
}

TEST(Codec, noise_never_does_harm) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 1000; ++round) {
    std::vector<std::byte> bytes(random() % 200);
    // Small numbers make plausible lengths, which get further than noise alone.
    const bool small = random() % 2 == 0;
    for (std::size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = small && i % 8 != 0 ? std::byte{0} : static_cast<std::byte>(small ? random() % 8 : random());
    read_everything(bytes);
  }
}

TEST(Codec, flipped_bits_never_do_harm) {
  std::mt19937_64 random(2);
  Tree tree{1, {}, std::make_unique<Leaf>(Leaf{"leaf", {1, 2, 3}, {}})};
  for (int i = 0; i < 3; ++i) tree.children.push_back(Tree{i, {}, std::make_unique<Leaf>(Leaf{"x", {}, 1.5})});
  const auto nested = Payload(example()).bytes(), trees = Payload(tree).bytes();
  for (std::size_t bit = 0; bit < 8 * nested.size(); ++bit) {
    auto damaged = nested;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    read_any<Nested>(damaged);
  }
  for (int round = 0; round < 2000; ++round) {
    auto damaged = trees;
    for (std::size_t flips = 1 + random() % 4; flips > 0; --flips)
      damaged[random() % damaged.size()] ^= static_cast<std::byte>(1u << random() % 8);
    read_any<Tree>(damaged);
  }
}

}  // namespace codec_damage_test
