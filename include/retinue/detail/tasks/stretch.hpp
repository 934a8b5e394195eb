// What a task is handed of inputs that need not be read one by one.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/call.hpp>

namespace retinue::detail {

/// Elements that lie side by side: in memory of somebody who keeps it until the task has ended, or copies that are this
/// object's own.
template <class E>
class Stretch {
 public:
  Stretch() = default;
  /// Elements that stay where they are. `take` says that nobody needs them afterwards, `shared` that workers see them.
  Stretch(const E* first, std::size_t size, bool take = false, bool shared = false) noexcept
      : first_(first), size_(size), take_(take), shared_(shared) {}
  explicit Stretch(std::vector<E> own) noexcept : size_(own.size()), take_(true), own_(std::move(own)) {}

  const E* data() const noexcept { return own_.empty() ? first_ : own_.data(); }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  bool is_shared() const noexcept { return shared_; }
  /// True if the elements may be moved out, which `mine` is for.
  bool may_be_taken() const noexcept { return take_; }
  E* mine() noexcept { return const_cast<E*>(data()); }  // NOLINT(cppcoreguidelines-pro-type-const-cast): see `take`

  /// The same elements with their own memory.
  Stretch copy() && {
    if (take_) {
      E* const from = mine();
      return Stretch(std::vector<E>(std::move_iterator(from), std::move_iterator(from + size_)));
    }
    if constexpr (std::copy_constructible<E>) return Stretch(std::vector<E>(data(), data() + size_));
    else return {};  // nobody made one: see Runs
  }

 private:
  const E* first_ = nullptr;
  std::size_t size_ = 0;
  bool take_ = false;
  bool shared_ = false;
  std::vector<E> own_;
};

/// Consecutive numbers.
template <std::integral W>
struct Numbers {
  W first;
  std::uint64_t count;

  std::size_t size() const noexcept { return static_cast<std::size_t>(count); }
  bool empty() const noexcept { return count == 0; }
};

/// Whether a function looks at its argument only: its one parameter is a `const E&`.
template <class F, class E>
inline constexpr bool kOnlyLooks = false;
template <class R, class E>
inline constexpr bool kOnlyLooks<R (*)(const E&), E> = true;
template <class R, class E>
inline constexpr bool kOnlyLooks<R (*)(const E&) noexcept, E> = true;
template <class R, class F, class E>
inline constexpr bool kOnlyLooks<R (F::*)(const E&) const, E> = true;
template <class R, class F, class E>
inline constexpr bool kOnlyLooks<R (F::*)(const E&) const noexcept, E> = true;
template <class F, class E>
  requires requires { &F::operator(); }
inline constexpr bool kOnlyLooks<F, E> = kOnlyLooks<decltype(&F::operator()), E>;

/// Calls `use(give)`; give(i) is element i of a run for a call of an F, as `call_on` takes it: each is asked for once, and
/// is the call's own, but where that makes no difference.
template <class F, class E, class Use>
decltype(auto) with_elements(Stretch<E>& run, Use&& use) {
  if constexpr (std::is_trivially_copyable_v<E> && std::copy_constructible<E> && sizeof(E) <= 64) {
    return use([p = run.data()](std::size_t i) -> E { return p[i]; });
  } else if constexpr (kOnlyLooks<F, E>) {
    return use([p = run.data()](std::size_t i) -> const E& { return p[i]; });
  } else {
    if constexpr (std::copy_constructible<E>) {
      if (!run.may_be_taken()) return use([p = run.data()](std::size_t i) -> E { return p[i]; });
    }
    return use([p = run.mine()](std::size_t i) -> E&& { return std::move(p[i]); });
  }
}
template <class F, std::integral W, class Use>
decltype(auto) with_elements(Numbers<W>& run, Use&& use) {
  // In unsigned numbers, which count on from the lowest to the highest.
  using Unsigned = std::make_unsigned_t<W>;
  return use([first = static_cast<Unsigned>(run.first)](std::size_t i) -> W {
    return static_cast<W>(static_cast<Unsigned>(first + static_cast<Unsigned>(i)));
  });
}
template <class F, class E, class Use>
decltype(auto) with_elements(std::vector<E>& run, Use&& use) {
  using At = typename std::vector<E>::iterator;
  return use([first = run.begin()](std::size_t i) -> decltype(auto) {
    if constexpr (std::is_lvalue_reference_v<std::iter_reference_t<At>>) {
      return std::move(first[static_cast<std::ptrdiff_t>(i)]);
    } else {
      return first[static_cast<std::ptrdiff_t>(i)];
    }
  });
}

/// Ranges whose elements lie side by side as values of their own.
template <class R>
concept LiesInMemory =
    std::ranges::contiguous_range<std::views::all_t<R>> && std::ranges::sized_range<std::views::all_t<R>> &&
    std::same_as<std::remove_const_t<std::remove_reference_t<std::ranges::range_reference_t<std::views::all_t<R>>>>,
                 Element<R>> &&
    !std::same_as<Element<R>, bool>;  // a vector of which has no elements to point to

template <class V>
inline constexpr bool kIsIota = false;
template <class W, class Bound>
inline constexpr bool kIsIota<std::ranges::iota_view<W, Bound>> =
    std::integral<W> && std::integral<Bound> && !std::same_as<W, bool>;

/// Numbers that are counted, `std::views::iota(0, n)`.
template <class R>
concept Counts = kIsIota<std::views::all_t<R>> && std::ranges::sized_range<std::views::all_t<R>>;

}  // namespace retinue::detail
