#include "fuzz/decoder_exceptions.hpp"

#include <retinue/error.hpp>
#include <retinue/exceptions.hpp>

#include "codec/exceptions.hpp"

#include <filesystem>
#include <future>
#include <ios>
#include <new>
#include <stdexcept>
#include <system_error>

namespace retinue_fuzz {
namespace {

struct Registered : std::runtime_error {
  explicit Registered(const std::string& text) : std::runtime_error("registered: " + text) {}
};
[[maybe_unused]] const auto registered_travels = retinue::exception_travels<Registered>;

struct Whole : std::exception {
  Whole(int code, std::vector<std::string> names) : code_(code), names_(std::move(names)) {}
  const char* what() const noexcept override { return "whole"; }
  int code_;
  std::vector<std::string> names_;
};

struct Unregistered : std::exception {
  const char* what() const noexcept override { return "unregistered"; }
};

}  // namespace
}  // namespace retinue_fuzz

template <>
struct retinue::Codec<retinue_fuzz::Whole> {
  template <class W>
  static void write(W& w, const retinue_fuzz::Whole& e) {
    w(e.code_, e.names_);
  }
  static retinue_fuzz::Whole read(Reader& r) {
    const int code = r.value<int>();
    return retinue_fuzz::Whole(code, r.value<std::vector<std::string>>());
  }
};

namespace retinue_fuzz {
namespace {

[[maybe_unused]] const auto whole_travels = retinue::exception_travels<Whole>;

// A process that does not exist, so that nothing is looked up in one that happens to.
constexpr pid_t kWorker = -7;

/// What an owner sees of the exception: its text, or that it is none of std::exception's.
std::string text_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& e) {
    return e.what();
  }
}

void decode_exception(const char* name, Bytes payload) {
  const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
  const std::exception_ptr thrown = retinue::detail::decode_exception(bytes, kWorker, 3);
  require(thrown != nullptr, "no exception came out", name);
  const std::string text = text_of(thrown);
  const std::string sent = retinue::detail::encode_exception(thrown);
  const std::exception_ptr arrived = retinue::detail::decode_exception(sent, kWorker, 3);
  require(text_of(arrived) == text, "sent on, the exception has another text", name);
  require(retinue::detail::encode_exception(arrived) == sent, "sent on twice, the exception has other bytes", name);
}

std::exception_ptr example(retinue_test::Generator& g) {
  const auto text = g.make<std::string>();
  const std::error_code code(static_cast<int>(g.below(200)), std::generic_category());
  switch (g.below(12)) {
    case 0: return std::make_exception_ptr(std::out_of_range(text));
    case 1: return std::make_exception_ptr(std::bad_alloc());
    case 2: return std::make_exception_ptr(std::system_error(code, text));
    case 3: return std::make_exception_ptr(std::filesystem::filesystem_error(text, "/from", "/to", code));
    case 4: return std::make_exception_ptr(std::ios_base::failure(text));
    case 5: return std::make_exception_ptr(std::future_error(std::future_errc::no_state));
    case 6: return std::make_exception_ptr(retinue::ResourceExhausted(text, code.value()));
    case 7: return std::make_exception_ptr(retinue::WorkerDied(11, -1, 1234, 5, text));
    case 8: return std::make_exception_ptr(Registered(text));
    case 9: return std::make_exception_ptr(Whole(code.value(), g.make<std::vector<std::string>>()));
    case 10: return std::make_exception_ptr(retinue::RemoteError("type", text, 1234, 5, "stack"));
    default: return std::make_exception_ptr(Unregistered());
  }
}

Input encode_exception(retinue_test::Generator& g) {
  const std::string bytes = retinue::detail::encode_exception(example(g));
  return Input(bytes.begin(), bytes.end());
}

}  // namespace

Kind exception(const char* name) { return {name, &decode_exception, &encode_exception}; }

}  // namespace retinue_fuzz
