// What travels, and that it arrives as it left.
#include <retinue/detail/codec/payload.hpp>

#include "payload_memory.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

namespace codec_test {

using namespace std::chrono_literals;
using retinue::Travels;
using retinue::detail::bitwise;
using retinue_test::round_trip;

enum class Color : unsigned char { red, green };
struct Point {
  double x, y;
  bool operator==(const Point&) const = default;
};
struct Empty {
  bool operator==(const Empty&) const = default;
};
struct Person {
  std::string name;
  int age;
  std::optional<Color> color;
  bool operator==(const Person&) const = default;
};
struct Tree {
  int value;
  std::vector<Tree> children;
  bool operator==(const Tree&) const = default;
};
struct Node {
  int value;
  std::unique_ptr<Node> next;
};
struct WithArrays {
  int grid[2][3];
  std::string names[2];
  std::optional<int> limit;
  bool flags[3];
  bool operator==(const WithArrays&) const = default;
};
struct ArraysInTheMiddle {
  char tag;
  int a[4];
  std::optional<std::string> s;
  std::array<int, 2> b;
  Point points[2];
  std::vector<int> v;
};
struct WithConst {
  const int id;
  std::string s;
};
struct Defaults {
  int a = 1;
  std::string s = "s";
  std::vector<int> v = {1, 2};
};
struct BitFields {
  unsigned a : 3;
  unsigned b : 20;
  int c : 4;
  bool d : 1;
};
struct BitFieldsAndMore {
  unsigned a : 3;
  std::string s;
  unsigned b : 9;
};
struct Thirty {
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24,
      a25, a26, a27, a28, a29, a30, a31;
  std::string s;
};
struct TooMany {
  int a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24,
      a25, a26, a27, a28, a29, a30, a31, a32;
  std::string s;
};
struct NoDefault {
  explicit NoDefault(int v) : value(v) {}
  int value;
};
struct HoldsNoDefault {
  NoDefault n;
  std::optional<NoDefault> o;
  std::string s;
};
struct HasReference {
  int& r;
  std::string s;
};
struct HasConstReference {
  const std::string& r;
  int x;
};
struct Derived : Person {
  int more;
};
struct Base {
  virtual ~Base() = default;
};
struct Handle {
  int fd;
};  // has a Codec below
struct HoldsHandle {
  Handle h;
  int x;
};
struct Window {
  int* shared;
};  // vouched for below
struct HoldsWindow {
  Window w;
  int x;
};
class Private {
  int x_ = 3;
  double y_ = 4;

 public:
  bool operator==(const Private&) const = default;
};
struct Huge {
  char bytes[1 << 20];
};
struct HugeWithPointer {
  char bytes[1 << 20];
  int* p;
};
struct NotCopyable {
  std::atomic<int> a;
};

int plain(int x) { return x; }

}  // namespace codec_test

template <>
struct retinue::Codec<codec_test::Handle> {
  template <class W>
  static void write(W& w, const codec_test::Handle& h) {
    w.value(std::to_string(h.fd));
  }
  static codec_test::Handle read(Reader& r) { return {std::stoi(r.value<std::string>()) + 1}; }
};
template <>
inline constexpr bool retinue::enable_bitwise<codec_test::Window> = true;

namespace codec_test {

// What travels, and how.
static_assert(bitwise<int> && bitwise<double> && bitwise<bool> && bitwise<Color> && bitwise<std::byte> &&
              bitwise<Point>);
static_assert(bitwise<std::pair<int, int>> && bitwise<std::tuple<int, Point>> && bitwise<std::complex<double>>);
static_assert(bitwise<std::array<Point, 100000>> && bitwise<Private> && bitwise<Huge> && bitwise<std::chrono::seconds>);
static_assert(bitwise<std::bitset<100>> && bitwise<std::monostate> && bitwise<std::chrono::system_clock::time_point>);
static_assert(bitwise<int Point::*> && bitwise<Window> && Travels<HoldsWindow>);
static_assert(!bitwise<int*> && !bitwise<std::optional<int>> && !bitwise<std::string_view> &&
              !bitwise<HugeWithPointer>);
static_assert(!bitwise<Handle> && !bitwise<HoldsHandle> && !bitwise<std::pair<Handle, int>> && Travels<HoldsHandle>);
static_assert(Travels<Person> && Travels<Tree> && Travels<Node> && Travels<WithArrays> && Travels<WithConst> &&
              Travels<Thirty>);
static_assert(Travels<std::map<std::string, std::vector<std::optional<std::tuple<int, Person>>>>>);
static_assert(Travels<int (*)(int)> && Travels<std::string (Person::*)() const> && Travels<std::unique_ptr<Tree>>);
static_assert(Travels<std::span<const int>> && Travels<std::vector<std::string_view>>);

static_assert(!Travels<int*> && !Travels<const char*> && !Travels<char*> && !Travels<void*> && !Travels<void> &&
              !Travels<int&>);
static_assert(!Travels<std::shared_ptr<int>> && !Travels<std::weak_ptr<int>> && !Travels<std::function<void()>>);
static_assert(!Travels<std::reference_wrapper<int>> && !Travels<std::mutex> && !Travels<std::thread> &&
              !Travels<std::atomic<int>>);
static_assert(!Travels<HasReference> && !Travels<HasConstReference> && !Travels<NotCopyable> && !Travels<TooMany>);
static_assert(!Travels<Derived> && !Travels<Base> && !Travels<std::unique_ptr<Base>> &&
              !Travels<std::unique_ptr<int[]>>);
static_assert(!Travels<std::vector<int*>> && !Travels<std::map<int, std::vector<std::shared_ptr<int>>>>);
static_assert(!Travels<std::set<int, bool (*)(int, int)>> && !Travels<std::set<int, std::function<bool(int, int)>>>);
static_assert(!Travels<NoDefault*> && !Travels<HugeWithPointer> && !Travels<std::pair<int&, int>> &&
              !Travels<std::vector<int>::iterator>);
static_assert(std::is_same_v<retinue::detail::StuckOn<std::map<int, std::vector<std::optional<int*>>>>, int*>);

TEST(Codec, numbers_enums_and_plain_structs_arrive) {
  EXPECT_EQ(round_trip(42), 42);
  EXPECT_EQ(round_trip(-1.5), -1.5);
  EXPECT_EQ(round_trip(3.25L), 3.25L);
  EXPECT_EQ(round_trip(true), true);
  EXPECT_EQ(round_trip(Color::green), Color::green);
  EXPECT_EQ(round_trip(Point{1, 2}), (Point{1, 2}));
  EXPECT_EQ(round_trip(Private()), Private());
  EXPECT_EQ(round_trip(std::complex(1.0, 2.0)), std::complex(1.0, 2.0));
  EXPECT_EQ(round_trip(std::pair(1, 'x')), std::pair(1, 'x'));
  EXPECT_EQ(round_trip(1500ms), 1500ms);
  EXPECT_EQ(round_trip(std::bitset<70>("1011")), std::bitset<70>("1011"));
}

TEST(Codec, an_empty_object_takes_no_bytes) {
  EXPECT_EQ(retinue::detail::payload_size(Empty(), std::monostate(), [] {}, std::plus<>()), 0u);
  EXPECT_EQ(round_trip(std::vector<Empty>(3)).size(), 3u);
  EXPECT_EQ(round_trip(std::list<Empty>(3)).size(), 3u);
}

TEST(Codec, strings_of_every_character_type_arrive) {
  EXPECT_EQ(round_trip(std::string("with\0nul", 8)), std::string("with\0nul", 8));
  EXPECT_EQ(round_trip(std::wstring(L"wide")), L"wide");
  EXPECT_TRUE(round_trip(std::u8string(u8"eight")) == u8"eight");
  EXPECT_EQ(round_trip(std::u16string(u"sixteen")), u"sixteen");
  EXPECT_EQ(round_trip(std::u32string(U"thirty-two")), U"thirty-two");
  EXPECT_EQ(round_trip(std::string()), "");
  EXPECT_EQ(round_trip(std::filesystem::path("/tmp/x y")), "/tmp/x y");
}

TEST(Codec, every_container_arrives) {
  EXPECT_EQ(round_trip(std::vector<int>{1, 2, 3}), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(round_trip(std::vector<std::string>{"a", "", "c"}), (std::vector<std::string>{"a", "", "c"}));
  EXPECT_EQ(round_trip(std::vector<std::pair<int, int>>{{1, 2}}), (std::vector<std::pair<int, int>>{{1, 2}}));
  EXPECT_EQ(round_trip(std::array<std::string, 2>{"a", "b"}), (std::array<std::string, 2>{"a", "b"}));
  EXPECT_EQ(round_trip(std::array<std::string, 0>{}), (std::array<std::string, 0>{}));
  EXPECT_EQ(round_trip(std::deque<int>{1, 2}), (std::deque<int>{1, 2}));
  EXPECT_EQ(round_trip(std::list<Person>{{"x", 1, Color::red}}), (std::list<Person>{{"x", 1, Color::red}}));
  EXPECT_EQ(round_trip(std::forward_list<int>{1, 2, 3}), (std::forward_list<int>{1, 2, 3}));
  EXPECT_EQ(round_trip(std::set<int>{3, 1}), (std::set<int>{1, 3}));
  EXPECT_EQ(round_trip(std::multiset<std::string>{"b", "a", "b"}), (std::multiset<std::string>{"a", "b", "b"}));
  EXPECT_EQ(round_trip(std::unordered_set<int>{3, 1}), (std::unordered_set<int>{1, 3}));
  EXPECT_EQ(round_trip(std::unordered_multiset<int>{3, 3}), (std::unordered_multiset<int>{3, 3}));
  EXPECT_EQ(round_trip(std::map<std::string, int>{{"a", 1}}), (std::map<std::string, int>{{"a", 1}}));
  EXPECT_EQ(round_trip(std::multimap<int, int>{{1, 2}, {1, 1}}), (std::multimap<int, int>{{1, 2}, {1, 1}}));
  EXPECT_EQ(round_trip(std::unordered_map<std::string, int>{{"a", 1}}),
            (std::unordered_map<std::string, int>{{"a", 1}}));
  EXPECT_EQ(round_trip(std::unordered_multimap<int, int>{{1, 2}}), (std::unordered_multimap<int, int>{{1, 2}}));
  EXPECT_EQ(round_trip(std::set<int, std::greater<>>{1, 2}), (std::set<int, std::greater<>>{1, 2}));
}

TEST(Codec, a_vector_of_bool_keeps_its_length) {
  for (std::size_t n : {0u, 1u, 7u, 8u, 9u, 64u, 65u}) {
    std::vector<bool> v(n);
    for (std::size_t i = 0; i < n; i += 3) v[i] = true;
    EXPECT_EQ(round_trip(v), v);
  }
}

TEST(Codec, optionals_variants_and_tuples_arrive) {
  using Variant = std::variant<std::monostate, int, std::string, int>;
  EXPECT_EQ(round_trip(std::optional<std::string>()), std::nullopt);
  EXPECT_EQ(round_trip(std::optional<std::string>("x")), "x");
  EXPECT_EQ(round_trip(Variant(std::in_place_index<3>, 5)).index(), 3u);
  EXPECT_EQ(round_trip(Variant("s")), Variant("s"));
  EXPECT_EQ(round_trip(std::tuple(1, std::string("x"), std::vector{1.0})),
            std::tuple(1, std::string("x"), std::vector{1.0}));
}

TEST(Codec, a_variant_without_a_value_is_refused) {
  struct Bomb {
    operator std::string() const { throw 1; }
  };
  std::variant<int, std::tuple<std::string>> v;
  EXPECT_THROW(v.emplace<1>(Bomb()), int);
  ASSERT_TRUE(v.valueless_by_exception());
  EXPECT_THROW(round_trip(v), retinue::CodecError);
}

TEST(Codec, aggregates_arrive_field_by_field) {
  EXPECT_EQ(round_trip(Person{"Ada", 36, Color::green}), (Person{"Ada", 36, Color::green}));
  const WithArrays w{{{1, 2, 3}, {4, 5, 6}}, {"a", "b"}, 7, {true, false, true}};
  EXPECT_EQ(round_trip(w), w);
  ArraysInTheMiddle a{'t', {1, 2, 3, 4}, "s", {5, 6}, {{1, 2}, {3, 4}}, {7}};
  const auto b = round_trip(a);
  EXPECT_EQ(b.a[3], 4);
  EXPECT_EQ(b.s, "s");
  EXPECT_EQ(b.b[1], 6);
  EXPECT_EQ(b.points[1], (Point{3, 4}));
  EXPECT_EQ(b.v, std::vector{7});
  EXPECT_EQ(round_trip(WithConst{4, "x"}).id, 4);
  EXPECT_EQ(round_trip(Defaults{2, "t", {}}).s, "t");
  const auto bits = round_trip(BitFields{5, 70000, -3, true});
  EXPECT_TRUE(bits.a == 5 && bits.b == 70000 && bits.c == -3 && bits.d);
  const auto more = round_trip(BitFieldsAndMore{5, "s", 300});
  EXPECT_TRUE(more.a == 5 && more.s == "s" && more.b == 300);
  Thirty t{};
  t.a31 = 31;
  t.s = "end";
  EXPECT_EQ(round_trip(t).a31, 31);
  EXPECT_EQ(round_trip(t).s, "end");
}

TEST(Codec, recursive_types_arrive_down_to_the_limit) {
  const Tree t{1, {{2, {}}, {3, {{4, {}}}}}};
  EXPECT_EQ(round_trip(t), t);
  const auto list = [](int n) {
    Node head{0, nullptr};
    for (int i = 1; i < n; ++i) head = Node{i, std::make_unique<Node>(std::move(head))};
    return head;
  };
  EXPECT_EQ(round_trip(list(retinue::detail::kMaxDepth)).value, retinue::detail::kMaxDepth - 1);
  EXPECT_THROW(round_trip(list(retinue::detail::kMaxDepth + 1)), retinue::CodecError);
}

TEST(Codec, a_unique_ptr_travels_by_value) {
  EXPECT_EQ(*round_trip(std::make_unique<std::string>("x")), "x");
  EXPECT_EQ(round_trip(std::unique_ptr<int>()), nullptr);
  EXPECT_EQ(*round_trip(std::unique_ptr<const int>(new int(3))), 3);
}

TEST(Codec, views_point_into_the_payload) {
  const std::vector<double> v{1, 2, 3};
  const retinue_test::Payload p(std::string_view("odd length"), std::span<const double>(v));
  retinue::Reader r = p.reader();
  const auto s = r.value<std::string_view>();
  const auto d = r.value<std::span<const double>>();
  EXPECT_EQ(s, "odd length");
  EXPECT_TRUE(std::ranges::equal(d, v));
  EXPECT_TRUE(p.contains(s.data()) && p.contains(d.data()));
}

TEST(Codec, a_types_own_codec_comes_first_even_inside_others) {
  EXPECT_EQ(round_trip(Handle{1}).fd, 2);
  EXPECT_EQ(round_trip(HoldsHandle{{1}, 5}).h.fd, 2);
  EXPECT_EQ(round_trip(std::vector<Handle>{{1}, {2}})[1].fd, 3);
  EXPECT_EQ(round_trip(std::pair(Handle{7}, 1)).first.fd, 8);
}

TEST(Codec, a_type_declared_bitwise_is_copied_as_it_is) {
  int x = 0;
  EXPECT_EQ(round_trip(HoldsWindow{{&x}, 1}).w.shared, &x);
}

TEST(Codec, function_pointers_arrive) {
  EXPECT_EQ(round_trip(&plain)(7), 7);
  EXPECT_EQ(round_trip(static_cast<int (*)(int)>(nullptr)), nullptr);
  EXPECT_EQ(round_trip(std::vector<int (*)(int)>{plain, nullptr, plain})[2], &plain);
}

struct Left {
  virtual ~Left() = default;
  int l = 1;
  virtual int virt() { return 1; }
};
struct Right {
  virtual ~Right() = default;
  int r = 2;
  int plain() const { return r; }
  virtual int virt2() { return 2; }
};
struct Two : Left, Right {
  int virt() override { return 11; }
  int virt2() override { return 22; }
};

TEST(Codec, member_function_pointers_arrive_virtual_or_not) {
  Two two;
  EXPECT_EQ((two.*round_trip(static_cast<int (Two::*)() const>(&Right::plain)))(), 2);
  EXPECT_EQ((two.*round_trip(static_cast<int (Two::*)()>(&Right::virt2)))(), 22);
  EXPECT_EQ((static_cast<Left&>(two).*round_trip(&Left::virt))(), 11);
  EXPECT_EQ(round_trip(static_cast<int (Left::*)()>(nullptr)), nullptr);
  EXPECT_EQ(two.*round_trip(&Left::l), 1);
}

TEST(Codec, overaligned_elements_arrive) {
  struct alignas(64) Wide {
    int x;
  };
  const auto v = round_trip(std::vector<Wide>{{1}, {2}, {3}});
  EXPECT_EQ(v[2].x, 3);
}

}  // namespace codec_test
