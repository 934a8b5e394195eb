// Function pointers, pointers to members, and functions with their first arguments bound.
#pragma once

#include <retinue/detail/codec/encoding.hpp>
#include <retinue/detail/codec/entry.hpp>

#include <concepts>
#include <functional>
#include <string>
#include <tuple>

namespace retinue {
namespace detail {

template <class T>
  requires std::is_function_v<T>
struct BuiltinCodec<T*> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<>;

  template <class W>
  static void write(W& w, T* function) {
    if constexpr (std::is_same_v<W, SizeCounter>) w.bytes(nullptr, sizeof(CodeName));
    else w.value(function ? portable_name(reinterpret_cast<const void*>(function)) : CodeName());
  }
  static T* read(Reader& r) {
    const auto name = r.value<CodeName>();
    return name.module == 0 ? nullptr : reinterpret_cast<T*>(const_cast<void*>(find_code(r.modules, name)));
  }
};

/// A pointer to a member function as the Itanium ABI lays it out: an address (or, for a virtual
/// function, its place in the vtable) and an adjustment of `this`. ARM marks virtual ones in the
/// adjustment's low bit, other processors in the address's.
struct MemberPointerBits {
  std::uint64_t code;
  std::int64_t adjustment;

  bool is_virtual() const noexcept {
#if defined(__aarch64__) || defined(__arm__)
    return (adjustment & 1) != 0;
#else
    return (code & 1) != 0;
#endif
  }
};

template <class M, class C>
  requires std::is_function_v<M>
struct BuiltinCodec<M C::*> {
  static_assert(sizeof(M C::*) == sizeof(MemberPointerBits), "Retinue knows only the Itanium C++ ABI");
  static constexpr bool kKnown = true;
  using Parts = TypeList<>;

  template <class W>
  static void write(W& w, M C::* member) {
    MemberPointerBits bits;
    std::memcpy(&bits, &member, sizeof bits);
    const bool by_name = member != nullptr && !bits.is_virtual();
    CodeName name{0, bits.code};
    if constexpr (!std::is_same_v<W, SizeCounter>) {
      if (by_name) name = portable_name(reinterpret_cast<const void*>(bits.code));
    }
    w(name, bits.adjustment);
  }

  static M C::* read(Reader& r) {
    const auto name = r.value<CodeName>();
    MemberPointerBits bits{name.offset, r.value<std::int64_t>()};
    if (name.module != 0) bits.code = reinterpret_cast<std::uint64_t>(find_code(r.modules, name));
    else if (bits.code != 0 && !bits.is_virtual()) damaged("a pointer to a member function names no code");
    M C::* member;
    std::memcpy(&member, &bits, sizeof bits);
    return member;
  }
};

/// What is kept of an argument that is bound: the value itself, or a string for a literal.
template <class T>
using Kept = std::conditional_t<std::is_same_v<std::decay_t<T>, const char*> || std::is_same_v<std::decay_t<T>, char*>,
                                std::string, std::decay_t<T>>;

/// The result of retinue::bind_front.
template <class F, class... Bound>
class BoundFront {
 public:
  template <class G, class... A>
  explicit constexpr BoundFront(std::in_place_t, G&& f, A&&... args)
      : function_(std::forward<G>(f)), bound_(std::forward<A>(args)...) {}

  template <class... Rest>
    requires std::is_invocable_v<F&, Bound&..., Rest...>
  constexpr decltype(auto) operator()(Rest&&... rest) {
    return std::apply(
        [&](Bound&... bound) -> decltype(auto) {
          return std::invoke(function_, bound..., std::forward<Rest>(rest)...);
        },
        bound_);
  }
  template <class... Rest>
    requires std::is_invocable_v<const F&, const Bound&..., Rest...>
  constexpr decltype(auto) operator()(Rest&&... rest) const {
    return std::apply(
        [&](const Bound&... bound) -> decltype(auto) {
          return std::invoke(function_, bound..., std::forward<Rest>(rest)...);
        },
        bound_);
  }

 private:
  friend struct BuiltinCodec<BoundFront>;
  F function_;
  std::tuple<Bound...> bound_;
};

template <class F, class... Bound>
struct BuiltinCodec<BoundFront<F, Bound...>> {
  static constexpr bool kKnown = true;
  using Parts = TypeList<F, Bound...>;

  template <class W>
  static void write(W& w, const BoundFront<F, Bound...>& b) {
    w(b.function_, b.bound_);
  }
  static BoundFront<F, Bound...> read(Reader& r) {
    F function = r.value<F>();
    std::tuple<Bound...> bound = r.value<std::tuple<Bound...>>();
    return std::apply(
        [&function](Bound&... values) {
          return BoundFront<F, Bound...>(std::in_place, std::move(function), std::move(values)...);
        },
        bound);
  }
};

}  // namespace detail

/// A callable that calls f(bound..., arguments...), where f and all that is bound travel by value:
/// vectors, strings, anything. `std::bind_front` travels too, but only with trivially copyable
/// arguments, and it carries f by address: f must be in the program or in a library that was loaded
/// before the pool was made.
///
///     auto rows = pool.map(retinue::bind_front(look_up, std::move(dictionary)), words);
///
/// A string literal is kept as a std::string. Bind a large value into a SharedArray instead, or each
/// task carries a copy.
template <class F, class... A>
constexpr auto bind_front(F&& f, A&&... args) {
  return detail::BoundFront<std::decay_t<F>, detail::Kept<A>...>(std::in_place, std::forward<F>(f),
                                                                 std::forward<A>(args)...);
}

}  // namespace retinue
