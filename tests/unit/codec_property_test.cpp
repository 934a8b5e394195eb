// What holds for every type that travels and every value of it: generated values, from a seed.
//
// RETINUE_TEST_SEED=n takes other values; a failure says which n repeats it. RETINUE_TEST_ROUNDS=n takes more.
#include "generated_values.hpp"
#include "payload_memory.hpp"
#include "same_values.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

namespace codec_property_test {

using retinue_test::Generator;
using retinue_test::Payload;
using retinue_test::same;
using std::string;
using std::vector;

enum class Shade : unsigned char { light, dark };
struct Point {
  double x, y;
};
struct Reading {
  int id;
  bool valid;
  std::chrono::milliseconds at;
};
struct Leaf {
  string s;
  int a[3];
  std::optional<double> d;
};
struct Tree {
  int value;
  vector<Tree> children;
  std::unique_ptr<Leaf> leaf;
};
struct Arrays {
  char tag;
  short grid[2][3];
  string names[2];
  bool flags[3];
  Point points[2];
};

/// Hides its state, so it has a Codec.
class Account {
 public:
  void generate(Generator& g) { g.fill(owner_), g.fill(cents_); }
  bool operator==(const Account&) const = default;

 private:
  friend struct retinue::Codec<Account>;
  string owner_;
  std::int64_t cents_ = 0;
};

}  // namespace codec_property_test

template <>
struct retinue::Codec<codec_property_test::Account> {
  template <class W>
  static void write(W& w, const codec_property_test::Account& a) {
    w(a.owner_, a.cents_);
  }
  static codec_property_test::Account read(Reader& r) {
    codec_property_test::Account a;
    a.owner_ = r.value<std::string>();
    a.cents_ = r.value<std::int64_t>();
    return a;
  }
};

namespace codec_property_test {

template <class... T>
struct Types {};

using AllTypes = Types<
    bool, signed char, std::uint16_t, int, std::int64_t, float, double, long double, char32_t, Shade,
    std::chrono::nanoseconds, std::chrono::system_clock::time_point, std::chrono::year_month_day, std::complex<double>,
    std::bitset<70>, Point, Reading, string, std::wstring, std::u8string, std::u32string, std::filesystem::path,
    vector<int>, vector<bool>, vector<Reading>, vector<string>, vector<std::pair<char, double>>, vector<std::monostate>,
    std::deque<double>, std::list<string>, std::forward_list<vector<float>>, std::array<string, 3>, std::array<bool, 5>,
    std::set<string>, std::multiset<int>, std::unordered_set<string>, std::unordered_multiset<int>,
    std::map<string, double>, std::multimap<int, string>, std::unordered_map<string, int>,
    std::unordered_multimap<char, string>, std::optional<string>, std::optional<std::optional<int>>,
    std::variant<std::monostate, int, string, int>, std::tuple<>, std::tuple<char, double, string>,
    std::pair<int, bool>, std::unique_ptr<string>, Leaf, Tree, Arrays, Account,
    // Several levels deep.
    vector<std::map<string, std::variant<int, string, vector<double>, Leaf>>>,
    std::optional<std::tuple<string, vector<std::optional<Point>>, std::set<std::pair<int, string>>>>,
    std::map<std::tuple<int, string>, std::unique_ptr<vector<std::array<std::optional<Leaf>, 2>>>>,
    std::unordered_map<string, std::deque<std::variant<bool, vector<bool>, std::list<Account>>>>,
    vector<vector<vector<vector<string>>>>, std::pair<vector<std::unique_ptr<Tree>>, std::multimap<string, Arrays>>,
    std::variant<Tree, std::map<Shade, vector<std::filesystem::path>>, std::tuple<Reading, std::unique_ptr<Account>>>>;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// Calls property(value) with values of T until one fails.
template <class T, class Property>
void holds_for_type(Property property) {
  const std::uint64_t first = from_environment("RETINUE_TEST_SEED", 1),
                      rounds = from_environment("RETINUE_TEST_ROUNDS", 40);
  for (std::uint64_t seed = first; seed < first + rounds && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("RETINUE_TEST_SEED=" + std::to_string(seed) + " for a value of type " +
                 testing::internal::GetTypeName<T>());
    property(Generator(seed).make<T>());
  }
}

template <class Property, class... T>
void holds_for(Types<T...>, Property property) {
  (holds_for_type<T>(property), ...);
}

/// The value in n bytes that begin at `from`, which must be all of them.
template <class T>
T read_all(const std::byte* from, std::size_t n) {
  retinue::Reader r(from, n);
  return retinue::detail::read_payload<T>(r);
}

TEST(CodecProperty, every_value_arrives_as_it_left) {
  holds_for(AllTypes(), []<class T>(const T& value) {
    const Payload payload(value);
    EXPECT_TRUE(same(read_all<T>(payload.data(), payload.size()), value));
  });
}

TEST(CodecProperty, what_is_counted_is_what_is_written_and_neither_more_nor_less_will_do) {
  holds_for(AllTypes(), []<class T>(const T& value) {
    const std::size_t n = retinue::detail::payload_size(value);
    const Payload memory(vector<std::byte>(n + 64, std::byte{0xa5}));
    retinue::Writer w(memory.data(), memory.size());
    w(value);
    EXPECT_EQ(w.size(), n);
    for (std::size_t i = n; i < memory.size(); ++i) EXPECT_EQ(memory.data()[i], std::byte{0xa5});
    EXPECT_THROW(retinue::detail::write_payload(memory.data(), n + 1, value), retinue::CodecError);
    if (n != 0) {
      EXPECT_THROW(retinue::detail::write_payload(memory.data(), n - 1, value), retinue::CodecError);
    }
  });
}

TEST(CodecProperty, a_value_is_written_alike_each_time_whatever_the_memory_held) {
  holds_for(AllTypes(), []<class T>(const T& value) {
    const std::size_t n = retinue::detail::payload_size(value);
    const vector<std::byte> ones(n, std::byte{0xa5}), others(n, std::byte{0x5a});
    const Payload one(ones), other(others);
    retinue::detail::write_payload(one.data(), n, value);
    retinue::detail::write_payload(other.data(), n, value);
    EXPECT_EQ(one.bytes(), other.bytes());
  });
}

TEST(CodecProperty, whatever_is_cut_off_is_missed) {
  holds_for(AllTypes(), []<class T>(const T& value) {
    const auto whole = Payload(value).bytes();
    // Each end of a short payload; of a long one about a hundred, the last ones among them.
    const std::size_t step = 1 + whole.size() / 100;
    for (std::size_t left = 1; left <= whole.size(); left += left < 16 ? 1 : step) {
      const Payload cut(vector<std::byte>(whole.begin(), whole.end() - static_cast<std::ptrdiff_t>(left)));
      EXPECT_THROW(read_all<T>(cut.data(), cut.size()), retinue::CodecError)
          << left << " bytes of " << whole.size() << " cut off";
    }
  });
}

TEST(CodecProperty, what_follows_is_left_over) {
  holds_for(AllTypes(), []<class T>(const T& value) {
    auto longer = Payload(value).bytes();
    longer.push_back(std::byte{0});
    const Payload payload(longer);
    EXPECT_THROW(read_all<T>(payload.data(), payload.size()), retinue::CodecError);
  });
}

TEST(CodecProperty, values_arrive_whatever_stands_before_them) {
  holds_for(AllTypes(), []<class T>(const T& value) {
    const Payload payload('x', value, true, value);
    retinue::Reader r = payload.reader();
    EXPECT_EQ(r.value<char>(), 'x');
    EXPECT_TRUE(same(r.value<T>(), value));
    EXPECT_EQ(r.value<bool>(), true);
    EXPECT_TRUE(same(r.value<T>(), value));
    r.finish();
  });
}

TEST(CodecProperty, what_owns_its_elements_is_read_from_any_address) {
  holds_for(AllTypes(), []<class T>(const T& value) {
    const auto bytes = Payload(value).bytes();
    for (const std::size_t offset : {1u, 4u, 31u}) {
      vector<std::byte> moved(offset);
      moved.insert(moved.end(), bytes.begin(), bytes.end());
      const Payload payload(moved);
      EXPECT_TRUE(same(read_all<T>(payload.data() + offset, bytes.size()), value));
    }
  });
}

template <class T>
void a_view_needs_its_alignment() {
  holds_for_type<vector<T>>([](const vector<T>& value) {
    const auto bytes = Payload(std::span<const T>(value)).bytes();
    for (std::size_t offset = 0; offset < retinue::detail::kPayloadAlignment; ++offset) {
      vector<std::byte> moved(offset);
      moved.insert(moved.end(), bytes.begin(), bytes.end());
      const Payload payload(moved);
      const auto read = [&] { return read_all<std::span<const T>>(payload.data() + offset, bytes.size()); };
      if (offset % alignof(T) != 0) {
        EXPECT_THROW(read(), retinue::CodecError);
      } else {
        EXPECT_TRUE(same(vector<T>(read().begin(), read().end()), value));
      }
    }
  });
}

TEST(CodecProperty, a_view_is_read_from_addresses_where_its_elements_may_lie) {
  a_view_needs_its_alignment<char>();
  a_view_needs_its_alignment<short>();
  a_view_needs_its_alignment<double>();
  a_view_needs_its_alignment<Reading>();
}

TEST(CodecProperty, many_small_things_arrive) {
  const auto arrives = [](const auto& value) { EXPECT_TRUE(same(retinue_test::round_trip(value), value)); };
  Generator g(from_environment("RETINUE_TEST_SEED", 1));
  arrives(string(1'000'003, '\0'));
  arrives(vector<bool>(100'001, true));
  arrives(vector<std::monostate>(100'000));
  arrives(std::list<std::monostate>(20'000));
  arrives(std::deque<std::optional<char>>(20'000));
  arrives(vector<string>(20'000, string("\xff\xfe\0 not UTF-8", 13)));
  arrives(vector<vector<std::pair<int, string>>>(10'000));
  std::map<int, vector<bool>> map;
  std::unordered_map<string, std::optional<int>> hashed;
  for (int i = 0; i < 5'000; ++i) map[static_cast<int>(g.below(100'000))] = {true}, hashed[std::to_string(i)] = i;
  arrives(map);
  arrives(hashed);
}

}  // namespace codec_property_test
