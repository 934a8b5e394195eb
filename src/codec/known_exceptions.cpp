#include "known_exceptions.hpp"

#include <any>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <variant>

#include <retinue/error.hpp>
#include <retinue/exceptions.hpp>

namespace retinue::detail {
namespace {

bool save_message(const std::exception&, ExceptionImage&) { return true; }

template <class E>
std::exception_ptr make_from_message(const ExceptionImage& image) {
  return made(E(image.message));
}

// For types without a constructor from text. Their what() is fixed, save where the library has texts of its
// own that nobody else can set.
template <class E>
std::exception_ptr make_fixed(const ExceptionImage& image) {
  return make_with_text<E>(image.message);
}

std::exception_ptr make_bad_variant_access(const ExceptionImage& image) {
  std::bad_variant_access usual;
  try {
    (void)std::get<0>(std::variant<int, char>(std::in_place_index<1>, 'x'));
  } catch (const std::bad_variant_access& thrown) {
    usual = thrown;
  }
  if (usual.what() == image.message) return made(usual);
  return make_fixed<std::bad_variant_access>(image);
}

// Error categories are objects; only those that every program has can be named.
const std::error_category* const kCategories[] = {&std::generic_category(), &std::system_category(),
                                                  &std::iostream_category(), &std::future_category()};

bool save_code(const std::error_code& code, ExceptionImage& image) {
  for (std::size_t i = 0; i < std::size(kCategories); ++i) {
    if (code.category() != *kCategories[i]) continue;
    image.numbers = {code.value(), static_cast<std::int64_t>(i)};
    return true;
  }
  return false;
}

std::optional<std::error_code> saved_code(const ExceptionImage& image) {
  if (image.numbers.size() != 2) return std::nullopt;
  const auto category = static_cast<std::uint64_t>(image.numbers[1]);
  if (category >= std::size(kCategories)) return std::nullopt;
  return std::error_code(static_cast<int>(image.numbers[0]), *kCategories[category]);
}

bool save_system_error(const std::exception& thrown, ExceptionImage& image) {
  return save_code(dynamic_cast<const std::system_error&>(thrown).code(), image);
}

// system_error says "text: meaning of the code" and is made from "text".
std::string without_meaning(const std::string& what, const std::error_code& code) {
  const std::string ending = ": " + code.message();
  return what.ends_with(ending) ? what.substr(0, what.size() - ending.size()) : what;
}

std::exception_ptr make_system_error(const ExceptionImage& image) {
  const auto code = saved_code(image);
  if (!code) return nullptr;
  if (image.message == code->message()) return make_with_text<std::system_error>(image.message, *code);
  return make_with_text<std::system_error>(image.message, *code, without_meaning(image.message, *code));
}

std::exception_ptr make_stream_failure(const ExceptionImage& image) {
  const auto code = saved_code(image);
  if (!code) return nullptr;
  return make_with_text<std::ios_base::failure>(image.message, without_meaning(image.message, *code), *code);
}

bool save_filesystem_error(const std::exception& thrown, ExceptionImage& image) {
  const auto& error = dynamic_cast<const std::filesystem::filesystem_error&>(thrown);
  image.texts = {error.std::system_error::what(), error.path1().native(), error.path2().native()};
  return save_code(error.code(), image);
}

std::exception_ptr make_filesystem_error(const ExceptionImage& image) {
  using std::filesystem::filesystem_error, std::filesystem::path;
  const auto code = saved_code(image);
  if (!code || image.texts.size() != 3) return nullptr;
  const std::string text = without_meaning(image.texts[0], *code);
  const path one = image.texts[1], two = image.texts[2];
  if (two.empty() && one.empty()) return make_with_text<filesystem_error>(image.message, text, *code);
  if (two.empty()) return make_with_text<filesystem_error>(image.message, text, one, *code);
  return make_with_text<filesystem_error>(image.message, text, one, two, *code);
}

bool save_future_error(const std::exception& thrown, ExceptionImage& image) {
  return save_code(dynamic_cast<const std::future_error&>(thrown).code(), image);
}

std::exception_ptr make_future_error(const ExceptionImage& image) {
  const auto code = saved_code(image);
  if (!code) return nullptr;
  return make_with_text<std::future_error>(image.message, static_cast<std::future_errc>(code->value()));
}

bool save_exhausted(const std::exception& thrown, ExceptionImage& image) {
  image.numbers = {dynamic_cast<const ResourceExhausted&>(thrown).error_number()};
  return true;
}

std::exception_ptr make_exhausted(const ExceptionImage& image) {
  if (image.numbers.size() != 1) return nullptr;
  const int number = static_cast<int>(image.numbers[0]);
  const std::string ending = ResourceExhausted("", number).what();
  std::string text = image.message;
  if (text.ends_with(ending)) text.resize(text.size() - ending.size());
  return make_with_text<ResourceExhausted>(image.message, text, number);
}

// A task that itself has a pool may pass on what happened there; pid and task are those of the inner pool.
bool save_remote(const std::exception& thrown, ExceptionImage& image) {
  const auto& error = dynamic_cast<const RemoteError&>(thrown);
  image.texts = {error.type_name(), error.message(), error.stack()};
  image.numbers = {error.worker_pid(), static_cast<std::int64_t>(error.task_index())};
  return true;
}

std::exception_ptr make_remote(const ExceptionImage& image) {
  if (image.texts.size() != 3 || image.numbers.size() != 2) return nullptr;
  return made(RemoteError(image.texts[0], image.texts[1], static_cast<pid_t>(image.numbers[0]),
                          static_cast<std::uint64_t>(image.numbers[1]), image.texts[2]));
}

bool save_died(const std::exception& thrown, ExceptionImage& image) {
  const auto& error = dynamic_cast<const WorkerDied&>(thrown);
  image.texts = {error.stack()};
  image.numbers = {error.signal(), error.exit_code(), error.worker_pid(),
                   static_cast<std::int64_t>(error.task_index())};
  return true;
}

std::exception_ptr make_died(const ExceptionImage& image) {
  const auto& n = image.numbers;
  if (image.texts.size() != 1 || n.size() != 4) return nullptr;
  return made(WorkerDied(static_cast<int>(n[0]), static_cast<int>(n[1]), static_cast<pid_t>(n[2]),
                         static_cast<std::uint64_t>(n[3]), image.texts[0]));
}

template <class E>
constexpr KnownException from_message() {
  return {&typeid(E), save_message, make_from_message<E>};
}

template <class E>
constexpr KnownException fixed() {
  return {&typeid(E), save_message, make_fixed<E>};
}

const KnownException kKnown[] = {
    from_message<std::logic_error>(),
    from_message<std::domain_error>(),
    from_message<std::invalid_argument>(),
    from_message<std::length_error>(),
    from_message<std::out_of_range>(),
    from_message<std::runtime_error>(),
    from_message<std::range_error>(),
    from_message<std::overflow_error>(),
    from_message<std::underflow_error>(),
    fixed<std::exception>(),
    fixed<std::bad_exception>(),
    fixed<std::bad_alloc>(),
    fixed<std::bad_array_new_length>(),
    fixed<std::bad_cast>(),
    fixed<std::bad_any_cast>(),
    fixed<std::bad_typeid>(),
    fixed<std::bad_function_call>(),
    fixed<std::bad_optional_access>(),
    fixed<std::bad_weak_ptr>(),
    {&typeid(std::bad_variant_access), save_message, make_bad_variant_access},
    {&typeid(std::system_error), save_system_error, make_system_error},
    {&typeid(std::filesystem::filesystem_error), save_filesystem_error, make_filesystem_error},
    {&typeid(std::ios_base::failure), save_system_error, make_stream_failure},
    {&typeid(std::future_error), save_future_error, make_future_error},
    from_message<Error>(),
    from_message<TaskTimeout>(),
    from_message<Cancelled>(),
    from_message<PoolClosed>(),
    from_message<CodecError>(),
    from_message<MemoryOverwritten>(),
    {&typeid(ResourceExhausted), save_exhausted, make_exhausted},
    {&typeid(RemoteError), save_remote, make_remote},
    {&typeid(WorkerDied), save_died, make_died},
};

// libstdc++'s streams throw a hidden class derived from ios_base::failure; it arrives as its public base.
constexpr std::string_view kStreamsOwnFailure = "St13__ios_failure";

}  // namespace

const KnownException* known_exception(const std::type_info& type) noexcept {
  for (const KnownException& known : kKnown) {
    if (*known.type == type) return &known;
  }
  return type.name() == kStreamsOwnFailure ? known_exception(typeid(std::ios_base::failure)) : nullptr;
}

const KnownException* known_exception(const std::string& type_name) noexcept {
  for (const KnownException& known : kKnown) {
    if (type_name == known.type->name()) return &known;
  }
  return type_name == kStreamsOwnFailure ? known_exception(typeid(std::ios_base::failure)) : nullptr;
}

}  // namespace retinue::detail
