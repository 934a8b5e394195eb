// A function and its arguments, as the payload of a task.
#pragma once

#include <retinue/detail/codec/arguments.hpp>
#include <retinue/detail/codec/entry.hpp>
#include <retinue/detail/codec/payload.hpp>
#include <retinue/detail/codec/require.hpp>

#include <functional>
#include <tuple>

namespace retinue::detail {

/// What a task returns, made to own what it holds.
template <class R>
struct Owned {
  using Type = std::decay_t<R>;
};
template <class C, class Traits>
struct Owned<std::basic_string_view<C, Traits>> {
  using Type = std::basic_string<C, Traits>;
};
template <class T, std::size_t extent>
struct Owned<std::span<T, extent>> {
  using Type = std::vector<std::remove_cv_t<T>>;
};

/// The result of a call that does not compile; `check` explains.
struct NoResult {};

template <class F, class Arguments>
struct ArgumentsResult;
template <class F, class... Argument>
struct ArgumentsResult<F, TypeList<Argument...>> {
  static constexpr bool kTakesReference = (Argument::kTakesReference || ...);
  static constexpr bool kAccepted = (Argument::kAccepts && ...);
  static constexpr bool kCallable = [] {
    if constexpr (kTakesReference || !kAccepted) return false;
    else return std::is_invocable_v<F&, decltype(Argument::give(std::declval<typename Argument::Decoded&>()))...>;
  }();
  static auto type() {
    if constexpr (!kCallable) return std::type_identity<NoResult>();
    else {
      using Returned =
          std::invoke_result_t<F&, decltype(Argument::give(std::declval<typename Argument::Decoded&>()))...>;
      return std::type_identity<typename Owned<std::remove_cvref_t<Returned>>::Type>();
    }
  }
  using Type = typename decltype(type())::type;
};

template <class Parameters, class... A>
struct MatchArguments {
  using Type = TypeList<Argument<AnyParameter, A>...>;
};
template <class... P, class... A>
  requires(sizeof...(P) == sizeof...(A))
struct MatchArguments<TypeList<P...>, A...> {
  using Type = TypeList<Argument<P, A>...>;
};

template <class F>
auto parameters_of() {
  if constexpr (SignatureOf<F>::kKnown) return typename SignatureOf<F>::Parameters();
  else return UnknownSignature();
}

template <class F, class Arguments>
class CallOf;

/// How F is called with arguments of types A... in a worker. An argument is converted to the
/// parameter's type in the owner where F's signature is known; a span or string_view parameter is
/// given a view of the payload. Where F could take anything (templates, overloads, std::bind_front),
/// arguments travel as they are, as std::string for literals, and are passed as rvalues.
///
/// The payload is F (nothing if it is stateless, an EntryRef if it is a function pointer), then the
/// arguments in order.
template <class F, class... A>
using Call = CallOf<std::decay_t<F>, typename MatchArguments<decltype(parameters_of<std::decay_t<F>>()), A...>::Type>;

template <class F, class... Argument>
class CallOf<F, TypeList<Argument...>> {
  using Acceptance = ArgumentsResult<F, TypeList<Argument...>>;
  static constexpr bool kFunctionPointer = std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>;

 public:
  using Encoded = std::tuple<typename Argument::Encoded...>;
  using Decoded = std::tuple<typename Argument::Decoded...>;
  using Result = typename Acceptance::Type;

  /// Does not compile unless the call does and everything in it travels. True, for use in an assertion.
  static constexpr bool check() {
    static_assert(!Acceptance::kTakesReference,
                  "the function takes a non-const lvalue reference: it would change a copy in the worker process, and "
                  "results come back by return value. Take the parameter by value or by const reference.");
    static_assert(Acceptance::kTakesReference || Acceptance::kAccepted,
                  "not callable with these arguments: an argument does not convert to the type of its parameter");
    static_assert(Acceptance::kTakesReference || !Acceptance::kAccepted || Acceptance::kCallable,
                  "not callable with these arguments (as they arrive in the worker process: by value, string "
                  "literals as std::string)");
    require_travels<F>();
    (require_travels<typename Argument::Checked>(), ...);
    if constexpr (Acceptance::kCallable) require_result_travels<Result>();
    return true;
  }

  /// The size of the payload for a reader of this reach.
  static std::size_t size(Reach reach, const F& f, const typename Argument::Given&... arguments) {
    SizeCounter w(reach);
    write_all(w, f, arguments...);
    return w.size();
  }

  /// Writes the payload into the n bytes at `to` (bytes aligned to kPayloadAlignment, or a Room), which `size` has counted
  /// for the same reach. Throws CodecError if the values have changed since, and what the types' own
  /// codecs throw; Error where f is in no module. Both throw CodecError if the call names shared memory that the
  /// reader does not have. Into a Room it throws ResourceExhausted, too.
  template <class To>
  static void write(To to, std::size_t n, Reach reach, const F& f, const typename Argument::Given&... arguments) {
    Writer w(to, n, reach);
    write_all(w, f, arguments...);
    w.finish();
  }

  /// Worker side: reads the payload, calls `ready` and makes the call. Throws CodecError, or what the function does.
  static Result invoke(Reader& r) {
    return invoke(r, [] {});
  }
  template <class Ready>
  static Result invoke(Reader& r, const Ready& ready) {
    if constexpr (kFunctionPointer) {
      const EntryRef name = r.value<EntryRef>();
      const auto f = reinterpret_cast<F>(const_cast<void*>(find_code(r.modules, name)));
      return read_and_call(r, ready, f, TypeList<Argument...>());
    } else {
      F f = r.value<F>();
      return read_and_call(r, ready, f, TypeList<Argument...>());
    }
  }

 private:
  template <class W>
  static void write_all(W& w, const F& f, const typename Argument::Given&... arguments) {
    if constexpr (!kFunctionPointer) w.value(f);
    else if constexpr (std::is_same_v<W, SizeCounter>) w.bytes(nullptr, sizeof(EntryRef));
    else w.value(name_code(reinterpret_cast<const void*>(f)));
    (Argument::write(w, arguments), ...);
  }

  template <class Ready, class Function, class First, class... Rest, class... Held>
  static Result read_and_call(Reader& r, const Ready& ready, Function& f, TypeList<First, Rest...>, Held&... held) {
    typename First::Decoded value = r.value<typename First::Decoded>();
    return read_and_call(r, ready, f, TypeList<Rest...>(), held..., value);
  }

// GCC follows the virtual case of a member pointer into objects that have no vtable.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Warray-bounds"
#endif
  template <class Ready, class Function>
  static Result read_and_call(Reader&, const Ready& ready, Function& f, TypeList<>,
                              typename Argument::Decoded&... held) {
    ready();
    if constexpr (std::is_void_v<Result>) {
      std::invoke(f, Argument::give(held)...);
    } else {
      using Returned = decltype(std::invoke(f, Argument::give(held)...));
      if constexpr (!std::is_same_v<std::remove_cvref_t<Returned>, Result> &&
                    !std::is_convertible_v<Returned, Result> && !std::is_constructible_v<Result, Returned>) {
        const auto view = std::invoke(f, Argument::give(held)...);
        return Result(view.begin(), view.end());
      } else {
        return static_cast<Result>(std::invoke(f, Argument::give(held)...));
      }
    }
  }
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
};

}  // namespace retinue::detail
