// Which exceptions come back from a worker as themselves.
//
// The standard library's do, and Retinue's own. An exception type of yours does once it is registered; till
// then it arrives as RemoteError with its name, its text and the stack of its throw.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <retinue/codec.hpp>
#include <retinue/error.hpp>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace retinue {
namespace detail {

/// How one registered type is written in a worker and made again in the owner. One for each type, static, on a
/// list that only grows: no lock that a fork could catch. Both functions may throw; the exception then
/// travels as RemoteError.
struct ExceptionCodec {
  const std::type_info* type;
  std::string (*write)(const std::exception&);
  std::exception_ptr (*read)(const std::string& what, const std::byte* bytes, std::size_t n);
  const ExceptionCodec* next = nullptr;
  std::atomic<bool> listed{false};
};
void list_exception(ExceptionCodec& codec) noexcept;

/// True while an exception is made anew that holds another, which is then being handled: see std::nested_exception.
bool is_making_nested() noexcept;

/// The exception as it is to be thrown; around the one that is being handled, if that is wanted.
template <class E>
std::exception_ptr made(E exception) {
  if (!is_making_nested()) return std::make_exception_ptr(std::move(exception));
  try {
    std::throw_with_nested(std::move(exception));
  } catch (...) {
    return std::current_exception();
  }
}

/// What came back as a class derived from its own; sent on, it is again what it was.
class StandIn {
 public:
  virtual const std::type_info& stands_for() const noexcept = 0;

 protected:
  ~StandIn() = default;
};

/// An E whose text is the given one: for an E that adds to the text it is made from.
template <class E>
class WithText : public E, public StandIn {
 public:
  template <class... Args>
  explicit WithText(const std::string& text, Args&&... args)
      : E(std::forward<Args>(args)...), text_(std::make_shared<const std::string>(text)) {}
  const char* what() const noexcept override { return text_->c_str(); }
  const std::type_info& stands_for() const noexcept override { return typeid(E); }

 private:
  std::shared_ptr<const std::string> text_;
};

/// E(args...), with `what` as its what() one way or the other (a final class keeps the text it makes).
template <class E, class... Args>
std::exception_ptr make_with_text(const std::string& what, const Args&... args) {
  E made(args...);
  if constexpr (!std::is_final_v<E>) {
    if (made.what() != what) return detail::made(WithText<E>(what, args...));
  }
  return detail::made(std::move(made));
}

template <class E>
std::string write_exception(const std::exception& thrown) {
  std::string bytes;
  if constexpr (Travels<E>) {
    const E& value = dynamic_cast<const E&>(thrown);
    SizeCounter counter;
    counter.value(value);
    bytes.resize(counter.size());
    Writer writer(reinterpret_cast<std::byte*>(bytes.data()), bytes.size());
    writer.value(value);
    writer.finish();
  }
  return bytes;
}

template <class E>
std::exception_ptr read_exception([[maybe_unused]] const std::string& what, [[maybe_unused]] const std::byte* bytes,
                                  [[maybe_unused]] std::size_t n) {
  if constexpr (Travels<E>) {
    Reader reader(bytes, n);
    E made = reader.value<E>();
    reader.finish();
    return detail::made(std::move(made));
  } else if constexpr (std::is_constructible_v<E, const std::string&>) {
    return make_with_text<E>(what, what);
  } else {
    return make_with_text<E>(what, what.c_str());
  }
}

template <class E>
inline ExceptionCodec exception_codec{&typeid(E), &write_exception<E>, &read_exception<E>};

}  // namespace detail

/// An exception type that can be registered: a copyable class derived from std::exception that either has a
/// `retinue::Codec` (then all of it comes back), or can be made from its text, as E(std::string) or
/// E(const char*) (then its type and its what() come back, and other members are what that constructor sets).
template <class E>
concept TravellingException =
    std::is_class_v<E> && std::derived_from<E, std::exception> && std::copy_constructible<E> &&
    (Travels<E> || std::is_constructible_v<E, const std::string&> || std::is_constructible_v<E, const char*>);

/// From now on an E that leaves a task comes out of `get()` as an E. Exactly E: types derived from it are
/// registered on their own. Register before the pool is made, since its workers know what was registered then;
/// best where E is defined, as
///
///     struct ParseError : std::runtime_error { using std::runtime_error::runtime_error; };
///     inline const auto parse_error_travels = retinue::exception_travels<ParseError>;
///
/// If only one side knows E, or E's own codec or constructor throws, RemoteError takes its place. An E that
/// adds to the text it is made from comes back as a class derived from E, so that what() stays the same (its
/// what() must not be final; give such an E a Codec). An E that std::throw_with_nested threw comes back with the exception
/// that it holds, and so do those. A library that registers types must not be unloaded.
/// Any thread may call it; again is harmless.
template <TravellingException E>
void register_exception() noexcept {
  detail::list_exception(detail::exception_codec<E>);
}

/// Registers E while the program (or the library) is being loaded; see register_exception. Always true.
template <TravellingException E>
inline const bool exception_travels = (register_exception<E>(), true);

}  // namespace retinue
