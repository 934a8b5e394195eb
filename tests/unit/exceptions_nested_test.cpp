// Exceptions that hold another (std::throw_with_nested) keep it on their way from a worker to its owner.
#include <gtest/gtest.h>

#include <exception>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <retinue/error.hpp>
#include <retinue/exceptions.hpp>
#include <retinue/process_pool.hpp>

#include "codec/exceptions.hpp"

namespace geo {

struct BadMap : std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline const auto bad_map_travels = retinue::exception_travels<BadMap>;

struct Decorated : std::logic_error {
  explicit Decorated(const std::string& text) : std::logic_error("decorated: " + text) {}
};
inline const auto decorated_travels = retinue::exception_travels<Decorated>;

/// Holds another by its own making.
struct Holder : std::runtime_error, std::nested_exception {
  using std::runtime_error::runtime_error;
};
inline const auto holder_travels = retinue::exception_travels<Holder>;

struct Unregistered : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace geo

namespace {

namespace detail = retinue::detail;

template <class Inner, class Outer>
void throw_both(Inner&& inner, Outer&& outer) {
  try {
    inner();
  } catch (...) {
    std::throw_with_nested(outer);
  }
}

template <class F>
std::string sent_by(F&& f) {
  try {
    f();
  } catch (...) {
    return detail::encode_exception(std::current_exception());
  }
  return {};
}

std::exception_ptr received(std::string_view bytes) { return detail::decode_exception(bytes, 1234, 7); }

using Texts = std::vector<std::string>;

// The texts of an exception and of all that it holds, the outermost first.
Texts texts(const std::exception_ptr& thrown) {
  Texts all;
  std::exception_ptr next = thrown;
  while (next) {
    const std::exception_ptr current = std::exchange(next, nullptr);
    try {
      std::rethrow_exception(current);
    } catch (const std::exception& e) {
      all.emplace_back(e.what());
      if (const auto* const holder = dynamic_cast<const std::nested_exception*>(&e)) next = holder->nested_ptr();
    } catch (...) {
      all.emplace_back("?");
    }
  }
  return all;
}

TEST(NestedExceptions, both_come_back_as_themselves) {
  const auto back =
      received(sent_by([] { throw_both([] { throw std::out_of_range("inner"); }, std::runtime_error("outer")); }));
  EXPECT_EQ(texts(back), (Texts{"outer", "inner"}));
  try {
    std::rethrow_exception(back);
  } catch (const std::runtime_error& outer) {
    EXPECT_THROW(std::rethrow_if_nested(outer), std::out_of_range);
  }
}

TEST(NestedExceptions, all_levels_come_back) {
  const auto back = received(sent_by([] {
    throw_both(
        [] {
          throw_both([] { throw_both([] { throw std::invalid_argument("4"); }, geo::BadMap("3")); },
                     std::system_error(2, std::generic_category(), "2"));
        },
        geo::BadMap("1"));
  }));
  const std::string second = std::system_error(2, std::generic_category(), "2").what();
  EXPECT_EQ(texts(back), (Texts{"1", second, "3", "4"}));
  try {
    std::rethrow_exception(back);
  } catch (const geo::BadMap& outer) {
    try {
      std::rethrow_if_nested(outer);
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
      EXPECT_THROW(std::rethrow_if_nested(error), geo::BadMap);
    }
  }
}

TEST(NestedExceptions, a_type_that_adds_to_its_text_keeps_what_it_said) {
  const auto back = received(sent_by([] { throw_both([] { throw geo::Decorated("in"); }, geo::Decorated("out")); }));
  EXPECT_EQ(texts(back), (Texts{"decorated: out", "decorated: in"}));
  EXPECT_THROW(std::rethrow_exception(back), geo::Decorated);
}

TEST(NestedExceptions, a_class_that_holds_another_by_itself_comes_back_with_it) {
  const auto back = received(sent_by([] {
    try {
      throw geo::BadMap("inner");
    } catch (...) {
      throw geo::Holder("outer");
    }
  }));
  EXPECT_EQ(texts(back), (Texts{"outer", "inner"}));
  EXPECT_THROW(std::rethrow_exception(back), geo::Holder);
}

TEST(NestedExceptions, an_unregistered_type_is_a_remote_error_that_holds_the_same) {
  const auto back = received(sent_by([] {
    throw_both([] { throw_both([] { throw std::range_error("3"); }, geo::Unregistered("2")); }, geo::Unregistered("1"));
  }));
  const Texts all = texts(back);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_NE(all[0].find("threw geo::Unregistered in"), std::string::npos) << all[0];
  EXPECT_EQ(all[0].find("_Nested_exception"), std::string::npos) << all[0];
  EXPECT_NE(all[1].find("threw geo::Unregistered in"), std::string::npos) << all[1];
  EXPECT_EQ(all[2], "3");
  EXPECT_THROW(std::rethrow_exception(back), retinue::RemoteError);
}

TEST(NestedExceptions, what_is_no_std_exception_is_kept_within) {
  const auto back = received(sent_by([] { throw_both([] { throw 5; }, std::runtime_error("outer")); }));
  const Texts all = texts(back);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_NE(all[1].find("threw int in"), std::string::npos) << all[1];
}

TEST(NestedExceptions, a_chain_survives_being_sent_on) {
  const auto once = received(sent_by([] { throw_both([] { throw geo::BadMap("in"); }, geo::Decorated("out")); }));
  const auto twice = received(detail::encode_exception(once));
  EXPECT_EQ(texts(twice), (Texts{"decorated: out", "in"}));
  EXPECT_THROW(std::rethrow_exception(twice), geo::Decorated);
}

TEST(NestedExceptions, one_without_another_within_holds_none_though_it_is_read_while_one_is_handled) {
  const std::string bytes = sent_by([] { throw std::runtime_error("alone"); });
  try {
    throw std::logic_error("somebody else's");
  } catch (...) {
    EXPECT_EQ(texts(received(bytes)), (Texts{"alone"}));
  }
}

TEST(NestedExceptions, a_very_long_chain_is_cut_off) {
  const auto back = received(sent_by([] {
    std::exception_ptr last = std::make_exception_ptr(std::runtime_error("0"));
    for (int i = 1; i < 1000; ++i) {
      try {
        throw_both([&last] { std::rethrow_exception(last); }, std::runtime_error(std::to_string(i)));
      } catch (...) {
        last = std::current_exception();
      }
    }
    std::rethrow_exception(last);
  }));
  const Texts all = texts(back);
  EXPECT_GT(all.size(), 50U);
  EXPECT_LT(all.size(), 100U);
  EXPECT_EQ(all[0], "999");
}

TEST(NestedExceptions, in_little_room_the_outermost_keeps_its_text) {
  try {
    throw_both([] { throw std::runtime_error(std::string(10'000, 'x')); }, std::out_of_range("outer"));
  } catch (...) {
    const std::string bytes = detail::encode_exception_within(300, std::current_exception());
    EXPECT_LE(bytes.size(), 300U);
    EXPECT_EQ(texts(received(bytes)), (Texts{"outer"}));
  }
}

TEST(NestedExceptions, scribbled_bytes_always_give_some_exception) {
  std::mt19937 random(1);
  const std::string good = sent_by([] {
    throw_both([] { throw_both([] { throw geo::BadMap("3"); }, geo::Unregistered("2")); }, std::runtime_error("1"));
  });
  for (int i = 0; i < 500; ++i) {
    std::string bad = good;
    for (unsigned n = 1 + random() % 4; n > 0; --n) bad[random() % bad.size()] = static_cast<char>(random());
    EXPECT_TRUE(received(bad));
  }
  for (std::size_t n = 0; n < good.size(); ++n) EXPECT_TRUE(received(std::string_view(good).substr(0, n)));
}

TEST(NestedExceptions, a_task_of_a_pool_gives_both) {
  retinue::ProcessPool pool(1);
  auto future = pool.submit([] { throw_both([] { throw geo::BadMap("inner"); }, std::runtime_error("outer")); });
  try {
    future.get();
    FAIL();
  } catch (const std::runtime_error& outer) {
    EXPECT_STREQ(outer.what(), "outer");
    EXPECT_THROW(std::rethrow_if_nested(outer), geo::BadMap);
  }
}

}  // namespace
