// Exceptions that go through bytes, as from a worker to its owner.
#include <gtest/gtest.h>

#include <any>
#include <cerrno>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <unistd.h>
#include <variant>
#include <vector>

#include <retinue/error.hpp>
#include <retinue/exceptions.hpp>

#include "codec/exceptions.hpp"
#include "diagnostics/stack.hpp"

namespace geo {

struct BadCoordinate : std::runtime_error {
  using std::runtime_error::runtime_error;
};
inline const auto bad_coordinate_travels = retinue::exception_travels<BadCoordinate>;

struct Decorated : std::logic_error {
  explicit Decorated(const std::string& text) : std::logic_error("decorated: " + text) {}
};
struct FromCharacters : std::exception {
  explicit FromCharacters(const char* text) : text_(text) {}
  const char* what() const noexcept override { return text_.c_str(); }
  std::string text_;
};
struct Whole : std::exception {
  Whole(int x, std::vector<std::string> names) : x_(x), names_(std::move(names)) {}
  const char* what() const noexcept override { return "whole"; }
  int x_;
  std::vector<std::string> names_;
};
struct RefusesToBeRead : std::exception {
  const char* what() const noexcept override { return "refuses"; }
};
struct Unregistered : BadCoordinate {
  using BadCoordinate::BadCoordinate;
};
struct ThrowingConstructor : std::runtime_error {
  explicit ThrowingConstructor(const std::string& text) : std::runtime_error("1: " + text) {
    if (text != "first") throw std::runtime_error("not so");
  }
};
struct NoException {};

}  // namespace geo

template <>
struct retinue::Codec<geo::Whole> {
  template <class W>
  static void write(W& w, const geo::Whole& e) {
    w(e.x_, e.names_);
  }
  static geo::Whole read(Reader& r) {
    const int x = r.value<int>();
    return geo::Whole(x, r.value<std::vector<std::string>>());
  }
};
template <>
struct retinue::Codec<geo::RefusesToBeRead> {
  template <class W>
  static void write(W& w, const geo::RefusesToBeRead&) {
    w(1);
  }
  static geo::RefusesToBeRead read(Reader&) { throw std::runtime_error("no"); }
};

namespace exceptions_test {

namespace detail = retinue::detail;

__attribute__((noinline)) void throws_unregistered() { throw geo::Unregistered("at sea"); }

// What a worker does with a task that throws.
template <class F>
std::string sent_by(F f) {
  try {
    detail::call_with_throw_site([](void* p) { (*static_cast<F*>(p))(); }, &f);
  } catch (...) {
    return detail::encode_exception(std::current_exception());
  }
  return "";
}

std::exception_ptr received(std::string_view bytes) { return detail::decode_exception(bytes, 1234, 7); }

// Sends what f throws; expects the very same type with the very same text, and returns it.
template <class E, class F>
std::shared_ptr<E> expect_same(F f) {
  std::string original = "nothing thrown";
  const std::type_info* type = nullptr;
  try {
    f();
  } catch (const E& e) {
    original = e.what();
    type = &typeid(e);
  }
  try {
    std::rethrow_exception(received(sent_by(f)));
  } catch (const std::exception& e) {
    EXPECT_EQ(e.what(), original);
    EXPECT_EQ(typeid(e), *type) << typeid(e).name();
    if (const E* const same = dynamic_cast<const E*>(&e)) return std::make_shared<E>(*same);
  }
  return nullptr;
}

template <class F>
retinue::RemoteError expect_remote(F f) {
  try {
    std::rethrow_exception(received(sent_by(f)));
  } catch (const retinue::RemoteError& e) {
    EXPECT_EQ(e.worker_pid(), 1234);
    EXPECT_EQ(e.task_index(), 7U);
    return e;
  } catch (const std::exception& e) {
    ADD_FAILURE() << "a " << typeid(e).name() << ": " << e.what();
  }
  return retinue::RemoteError("", "", 0, 0, "");
}

template <class E>
void expect_same_text() {
  expect_same<E>([] { throw E("some text"); });
  expect_same<E>([] { throw E(""); });
  expect_same<E>([] { throw E(std::string(100'000, 'x')); });
}

TEST(Exceptions, the_standard_types_with_a_text_come_back_exactly) {
  expect_same_text<std::logic_error>();
  expect_same_text<std::domain_error>();
  expect_same_text<std::invalid_argument>();
  expect_same_text<std::length_error>();
  expect_same_text<std::out_of_range>();
  expect_same_text<std::runtime_error>();
  expect_same_text<std::range_error>();
  expect_same_text<std::overflow_error>();
  expect_same_text<std::underflow_error>();
}

TEST(Exceptions, the_standard_types_with_a_fixed_text_come_back_exactly) {
  expect_same<std::exception>([] { throw std::exception(); });
  expect_same<std::bad_exception>([] { throw std::bad_exception(); });
  expect_same<std::bad_alloc>([] { throw std::bad_alloc(); });
  expect_same<std::bad_array_new_length>([] { throw std::bad_array_new_length(); });
  expect_same<std::bad_cast>([] { throw std::bad_cast(); });
  expect_same<std::bad_typeid>([] { throw std::bad_typeid(); });
  expect_same<std::bad_any_cast>([] { (void)std::any_cast<int>(std::any(1.0)); });
  expect_same<std::bad_function_call>([] { std::function<void()>()(); });
  expect_same<std::bad_optional_access>([] { (void)std::optional<int>().value(); });
  expect_same<std::bad_weak_ptr>([] { std::shared_ptr<int> p{std::weak_ptr<int>()}; });
  expect_same<std::bad_variant_access>([] { throw std::bad_variant_access(); });
  expect_same<std::bad_variant_access>([] { (void)std::get<0>(std::variant<int, char>('x')); });
}

TEST(Exceptions, what_the_library_itself_throws_comes_back_exactly) {
  expect_same<std::out_of_range>([] { (void)std::vector<int>(3).at(7); });
  expect_same<std::invalid_argument>([] { (void)std::stoi("x"); });
  expect_same<std::length_error>([] { std::vector<int>().reserve(std::size_t{1} << 62); });
}

TEST(Exceptions, in_little_room_they_keep_their_type_and_number_and_what_fits_of_the_text) {
  const auto thrown = std::make_exception_ptr(retinue::ResourceExhausted(std::string(1000, 'x'), ENOSPC));
  const std::string bytes = retinue::detail::encode_exception_within(224, thrown);
  EXPECT_LE(bytes.size(), 224u);
  try {
    std::rethrow_exception(retinue::detail::decode_exception(bytes, 1, 2));
  } catch (const retinue::ResourceExhausted& e) {
    EXPECT_EQ(e.error_number(), ENOSPC);
    EXPECT_TRUE(std::string(e.what()).starts_with("xxxxxxxxxx")) << e.what();
    EXPECT_TRUE(std::string(e.what()).ends_with("x...")) << e.what();  // so that a reader sees that there was more
  }
  const std::string least = retinue::detail::encode_exception_within(1, thrown);
  EXPECT_EQ(least.size(), 1u);
  EXPECT_THROW(std::rethrow_exception(retinue::detail::decode_exception(least, 1, 2)), std::bad_alloc);
}

TEST(Exceptions, in_little_room_no_character_is_cut_in_two) {
  for (std::size_t plain = 0; plain < 3; ++plain) {
    std::string text(plain, 'x');
    for (int i = 0; i < 500; ++i) text += "\xE2\x82\xAC";  // the Euro sign
    const auto thrown = std::make_exception_ptr(std::runtime_error(text));
    const std::string bytes = retinue::detail::encode_exception_within(224, thrown);
    EXPECT_LE(bytes.size(), 224u);
    try {
      std::rethrow_exception(retinue::detail::decode_exception(bytes, 1, 2));
    } catch (const std::runtime_error& e) {
      const std::string_view what = e.what();
      ASSERT_TRUE(what.ends_with("...")) << what;
      EXPECT_GT(what.size(), 30u);
      EXPECT_EQ((what.size() - plain) % 3, 0u) << what;
    }
  }
}

TEST(Exceptions, system_errors_keep_their_code) {
  auto e = expect_same<std::system_error>([] { throw std::system_error(ENOENT, std::generic_category(), "open"); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->code(), std::error_code(ENOENT, std::generic_category()));
  e = expect_same<std::system_error>([] { throw std::system_error(EIO, std::system_category()); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->code(), std::error_code(EIO, std::system_category()));
  expect_same<std::system_error>([] { throw std::system_error(EIO, std::system_category(), ""); });
}

TEST(Exceptions, filesystem_errors_keep_paths_and_code) {
  using std::filesystem::filesystem_error;
  const auto e = expect_same<filesystem_error>([] { std::filesystem::copy("/no/such/file", "/nor/this"); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->path1(), "/no/such/file");
  EXPECT_EQ(e->path2(), "/nor/this");
  EXPECT_EQ(e->code(), std::errc::no_such_file_or_directory);
  expect_same<filesystem_error>([] { (void)std::filesystem::file_size("/no/such"); });
  expect_same<filesystem_error>([] { throw filesystem_error("text", std::make_error_code(std::errc::io_error)); });
}

TEST(Exceptions, stream_and_future_errors_keep_their_code) {
  const auto f = expect_same<std::ios_base::failure>([] { throw std::ios_base::failure("mine"); });
  ASSERT_TRUE(f);
  EXPECT_EQ(f->code(), std::make_error_code(std::io_errc::stream));
  const auto e = expect_same<std::future_error>([] {
    std::promise<int> p;
    p.set_value(1);
    p.set_value(2);
  });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->code(), std::make_error_code(std::future_errc::promise_already_satisfied));
}

TEST(Exceptions, what_a_stream_throws_can_be_caught_by_its_public_name) {
  try {
    std::rethrow_exception(received(sent_by([] {
      std::ifstream in("/no/such/file");
      in.exceptions(std::ios::failbit);
    })));
  } catch (const std::ios_base::failure& e) {
    EXPECT_STREQ(e.what(), "basic_ios::clear: iostream error");
    return;
  }
  FAIL();
}

TEST(Exceptions, retinues_own_come_back_exactly) {
  expect_same_text<retinue::Error>();
  expect_same_text<retinue::TaskTimeout>();
  expect_same_text<retinue::Cancelled>();
  expect_same_text<retinue::PoolClosed>();
  expect_same_text<retinue::CodecError>();
  const auto e = expect_same<retinue::ResourceExhausted>([] { throw retinue::ResourceExhausted("mmap(1)", ENOMEM); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->error_number(), ENOMEM);
  expect_same<retinue::ResourceExhausted>([] { throw retinue::ResourceExhausted("full", 0); });
  const auto r = expect_same<retinue::RemoteError>([] { throw retinue::RemoteError("T", "m", 5, 6, "  at f"); });
  ASSERT_TRUE(r);
  EXPECT_EQ(r->task_index(), 6U);
  const auto d = expect_same<retinue::WorkerDied>([] { throw retinue::WorkerDied(11, -1, 5, 6, "  at f"); });
  ASSERT_TRUE(d);
  EXPECT_EQ(d->signal(), 11);
  expect_same<retinue::WorkerDied>([] { throw retinue::WorkerDied(0, 3, 5, 6, ""); });
}

TEST(Exceptions, a_registered_type_comes_back_as_itself) {
  expect_same<geo::BadCoordinate>([] { throw geo::BadCoordinate("north of the pole"); });
  retinue::register_exception<geo::FromCharacters>();
  retinue::register_exception<geo::FromCharacters>();
  expect_same<geo::FromCharacters>([] { throw geo::FromCharacters("characters"); });
}

TEST(Exceptions, a_registered_type_that_adds_to_its_text_keeps_what_it_said) {
  retinue::register_exception<geo::Decorated>();
  try {
    std::rethrow_exception(received(sent_by([] { throw geo::Decorated("x"); })));
  } catch (const geo::Decorated& e) {
    EXPECT_STREQ(e.what(), "decorated: x");
    return;
  }
  FAIL();
}

TEST(Exceptions, what_came_from_one_worker_keeps_its_type_and_text_when_it_is_sent_on_by_another) {
  retinue::register_exception<geo::Decorated>();
  std::exception_ptr thrown = received(sent_by([] { throw geo::Decorated("x"); }));
  for (int times = 0; times < 3; ++times) thrown = received(sent_by([&thrown] { std::rethrow_exception(thrown); }));
  try {
    std::rethrow_exception(thrown);
  } catch (const geo::Decorated& e) {
    EXPECT_STREQ(e.what(), "decorated: x");
    return;
  }
  FAIL();
}

TEST(Exceptions, a_type_with_a_codec_comes_back_whole) {
  static_assert(retinue::TravellingException<geo::Whole>);
  retinue::register_exception<geo::Whole>();
  const auto e = expect_same<geo::Whole>([] { throw geo::Whole(5, {"a", "b"}); });
  ASSERT_TRUE(e);
  EXPECT_EQ(e->x_, 5);
  EXPECT_EQ(e->names_, (std::vector<std::string>{"a", "b"}));
}

TEST(Exceptions, types_that_cannot_be_registered_are_refused_by_the_concept) {
  static_assert(!retinue::TravellingException<geo::NoException>);
  static_assert(!retinue::TravellingException<std::bad_alloc>);
  static_assert(!retinue::TravellingException<int>);
}

TEST(Exceptions, an_unregistered_type_is_a_remote_error_with_name_text_and_stack) {
  const auto e = expect_remote([] { throws_unregistered(); });
  EXPECT_EQ(e.type_name(), "geo::Unregistered");
  EXPECT_EQ(e.message(), "at sea");
  EXPECT_NE(e.stack().find("throws_unregistered()"), std::string::npos) << e.stack();
  EXPECT_NE(std::string(e.what()).find("1234"), std::string::npos);
}

TEST(Exceptions, the_stack_belongs_to_one_exception_only) {
  (void)sent_by([] { throws_unregistered(); });
  const std::string bytes = detail::encode_exception(std::make_exception_ptr(geo::Unregistered("made, not thrown")));
  try {
    std::rethrow_exception(received(bytes));
  } catch (const retinue::RemoteError& e) {
    EXPECT_EQ(e.stack(), "");
    return;
  }
  FAIL();
}

TEST(Exceptions, a_type_that_refuses_to_be_made_again_is_a_remote_error) {
  retinue::register_exception<geo::RefusesToBeRead>();
  EXPECT_EQ(expect_remote([] { throw geo::RefusesToBeRead(); }).message(), "refuses");
  retinue::register_exception<geo::ThrowingConstructor>();
  EXPECT_EQ(expect_remote([] { throw geo::ThrowingConstructor("first"); }).message(), "1: first");
}

TEST(Exceptions, foreign_error_categories_are_remote_errors) {
  static const struct : std::error_category {
    const char* name() const noexcept override { return "mine"; }
    std::string message(int) const override { return "my meaning"; }
  } mine;
  const auto e = expect_remote([] { throw std::system_error(5, mine, "x"); });
  EXPECT_EQ(e.type_name(), "std::system_error");
  EXPECT_EQ(e.message(), "x: my meaning");
}

TEST(Exceptions, what_is_no_std_exception_shows_its_value) {
  auto e = expect_remote([] { throw 42; });
  EXPECT_EQ(e.type_name(), "int");
  EXPECT_EQ(e.message(), "42");
  e = expect_remote([] { throw "a literal"; });
  EXPECT_EQ(e.type_name(), "char const*");
  EXPECT_EQ(e.message(), "a literal");
  e = expect_remote([] { throw std::string("a string"); });
  EXPECT_NE(e.type_name().find("string"), std::string::npos);
  EXPECT_EQ(e.message(), "a string");
  e = expect_remote([] { throw geo::NoException(); });
  EXPECT_EQ(e.type_name(), "geo::NoException");
  EXPECT_EQ(e.message(), "");
  e = expect_remote([] { throw std::regex_error(std::regex_constants::error_paren); });
  EXPECT_EQ(e.type_name(), "std::regex_error");
}

TEST(Exceptions, damaged_bytes_are_a_codec_error_and_never_a_crash) {
  const auto must_be_codec_error = [](std::string_view bytes) {
    try {
      std::rethrow_exception(received(bytes));
    } catch (const retinue::CodecError& e) {
      EXPECT_NE(std::string(e.what()).find("task 7"), std::string::npos);
    } catch (const std::exception& e) {
      ADD_FAILURE() << typeid(e).name() << ": " << e.what();
    }
  };
  must_be_codec_error("");
  must_be_codec_error("garbage");
  must_be_codec_error(std::string(1000, '\0'));
  must_be_codec_error(std::string(1000, '\xff'));
  const std::string good = sent_by([] { throws_unregistered(); });
  for (std::size_t n = 0; n < good.size(); ++n) must_be_codec_error(std::string_view(good).substr(0, n));
  must_be_codec_error(good + "x");
}

TEST(Exceptions, scribbled_bytes_always_give_some_exception) {
  std::mt19937 random(1);
  retinue::register_exception<geo::Whole>();
  for (const std::string& good :
       {sent_by([] { throws_unregistered(); }), sent_by([] { throw geo::Whole(5, {"a", "b"}); }),
        sent_by([] { std::filesystem::copy("/no/such", "/nor/this"); }),
        sent_by([] { throw retinue::WorkerDied(11, -1, 5, 6, "x"); })}) {
    for (int i = 0; i < 200; ++i) {
      std::string bad = good;
      for (unsigned n = 1 + random() % 4; n > 0; --n) bad[random() % bad.size()] = static_cast<char>(random());
      EXPECT_TRUE(received(bad));
    }
  }
}

TEST(Exceptions, without_memory_bad_alloc_still_travels) {
  EXPECT_THROW(std::rethrow_exception(received("!")), std::bad_alloc);
}

TEST(Exceptions, bytes_at_odd_addresses_are_read) {
  const std::string shifted = "x" + sent_by([] { throw std::out_of_range("odd"); });
  EXPECT_THROW(std::rethrow_exception(received(std::string_view(shifted).substr(1))), std::out_of_range);
}

TEST(Exceptions, no_exception_at_all_is_not_a_crash) {
  EXPECT_THROW(std::rethrow_exception(received(detail::encode_exception(nullptr))), retinue::RemoteError);
}

}  // namespace exceptions_test
