// Payloads for a reader that does not share this process's memory.
#include <retinue/detail/codec/call_traits.hpp>
#include <retinue/detail/codec/payload.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <retinue/shared_array.hpp>

namespace codec_reach_test {

using retinue::Reach;
using retinue::SharedSpan;
using retinue::SharedView;
using retinue::detail::HoldsNames;

struct Plain {
  int a;
  double b;
};
struct Deep {
  int a;
  std::array<std::pair<int, SharedSpan<double>>, 2> spans;
};

static_assert(HoldsNames<SharedSpan<int>>::value && HoldsNames<SharedView<const int, 3>>::value);
static_assert(HoldsNames<Deep>::value && HoldsNames<std::tuple<int, SharedView<int, 1>>>::value);
static_assert(!HoldsNames<int>::value && !HoldsNames<Plain>::value && !HoldsNames<std::pair<int, Plain>>::value);

/// Travels by the name of a block where the reader has it, else by its content.
struct Picture {
  std::vector<int> pixels;
};

}  // namespace codec_reach_test

template <>
struct retinue::Codec<codec_reach_test::Picture> {
  template <class W>
  static void write(W& w, const codec_reach_test::Picture& picture) {
    w(w.shares_memory());
    if (w.shares_memory()) w(reinterpret_cast<std::uintptr_t>(picture.pixels.data()), picture.pixels.size());
    else w(picture.pixels);
  }
  static codec_reach_test::Picture read(retinue::Reader& r) {
    if (!r.value<bool>()) return {r.value<std::vector<int>>()};
    const auto* const data = reinterpret_cast<const int*>(r.value<std::uintptr_t>());
    return {std::vector<int>(data, data + r.value<std::size_t>())};
  }
};

namespace codec_reach_test {

struct alignas(retinue::detail::kPayloadAlignment) Unit {
  std::byte bytes[retinue::detail::kPayloadAlignment];
};

template <Reach reach, class T>
std::vector<Unit> encoded(const T& value) {
  const std::size_t bytes = retinue::detail::payload_size<reach>(value);
  std::vector<Unit> memory(bytes / sizeof(Unit) + 1);
  retinue::detail::write_payload<reach>(memory.data()->bytes, bytes, value);
  return memory;
}

template <class T>
void expect_refused(const T& value) {
  EXPECT_NO_THROW(encoded<Reach::same_region>(value));
  try {
    encoded<Reach::bytes_only>(value);
    ADD_FAILURE() << "it was sent as an address";
  } catch (const retinue::CodecError& e) {
    EXPECT_NE(std::string(e.what()).find("SharedSpan"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("std::vector"), std::string::npos) << e.what();
  }
}

TEST(CodecReach, refuses_handles_on_memory_that_the_reader_does_not_have) {
  std::array<double, 6> memory{};
  const SharedSpan<double> span(memory.data(), memory.size());
  expect_refused(span);
  expect_refused(span.view(2, 3));
  expect_refused(std::vector<SharedSpan<double>>{span, span});
  expect_refused(std::optional<SharedSpan<double>>(span));
  expect_refused(std::map<std::string, SharedSpan<double>>{{"one", span}});
  expect_refused(std::pair(1, span));
  expect_refused(Deep{1, {{{1, span}, {2, {}}}}});
  expect_refused(std::vector<Deep>(3));
}

TEST(CodecReach, refuses_a_call_with_such_a_handle) {
  std::array<double, 6> memory{};
  const SharedSpan<double> span(memory.data(), memory.size());
  const auto size_of = [](SharedSpan<double> numbers, int) { return numbers.size(); };
  using Call = retinue::detail::Call<decltype(size_of), SharedSpan<double>, int>;
  static_assert(Call::check());
  const std::size_t bytes = Call::size(Reach::same_region, size_of, span, 1);
  std::vector<Unit> room(bytes / sizeof(Unit) + 1);
  EXPECT_NO_THROW(Call::write(room.data()->bytes, bytes, Reach::same_region, size_of, span, 1));
  EXPECT_THROW((void)Call::size(Reach::bytes_only, size_of, span, 1), retinue::CodecError);
  EXPECT_THROW(Call::write(room.data()->bytes, bytes, Reach::bytes_only, size_of, span, 1), retinue::CodecError);
}

TEST(CodecReach, lets_the_codec_of_an_argument_ask_who_reads) {
  const Picture picture{std::vector<int>(1000, 7)};
  const auto count = [](const Picture& it) { return it.pixels.size(); };
  using Call = retinue::detail::Call<decltype(count), Picture>;
  static_assert(Call::check());
  EXPECT_LT(Call::size(Reach::same_region, count, picture), 100U);
  const std::size_t bytes = Call::size(Reach::bytes_only, count, picture);
  EXPECT_GT(bytes, 4000U);
  std::vector<Unit> room(bytes / sizeof(Unit) + 1);
  Call::write(room.data()->bytes, bytes, Reach::bytes_only, count, picture);
  retinue::Reader reader(room.data()->bytes, bytes);
  EXPECT_EQ(Call::invoke(reader), 1000U);
}

TEST(CodecReach, sends_everything_else_with_the_same_bytes) {
  const std::tuple<int, std::string, std::vector<double>> value(3, "three", {1, 2, 3});
  EXPECT_EQ(retinue::detail::payload_size<Reach::bytes_only>(value), retinue::detail::payload_size(value));
  const auto one = encoded<Reach::bytes_only>(value), other = encoded<Reach::same_region>(value);
  EXPECT_EQ(std::memcmp(one.data(), other.data(), retinue::detail::payload_size(value)), 0);
  EXPECT_NO_THROW(encoded<Reach::bytes_only>(Plain{1, 2}));
  EXPECT_NO_THROW(encoded<Reach::bytes_only>(std::vector<SharedSpan<double>>())) << "an empty list names nothing";
}

TEST(CodecReach, lets_a_codec_ask_who_reads) {
  const Picture picture{std::vector<int>(1000, 7)};
  EXPECT_LT(retinue::detail::payload_size<Reach::same_region>(picture), 100U);
  EXPECT_GT(retinue::detail::payload_size<Reach::bytes_only>(picture), 4000U);
  for (const auto& memory : {encoded<Reach::same_region>(picture), encoded<Reach::bytes_only>(picture)}) {
    retinue::Reader reader(memory.data()->bytes, memory.size() * sizeof(Unit));
    EXPECT_EQ(reader.value<Picture>().pixels, picture.pixels);
  }
}

}  // namespace codec_reach_test
