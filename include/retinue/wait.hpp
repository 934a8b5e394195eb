// Waiting for all, or for any, of several futures.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

#include <retinue/future.hpp>

namespace retinue {

namespace detail {

template <class F>
inline constexpr bool kIsFuture = false;
template <class R>
inline constexpr bool kIsFuture<Future<R>> = true;

template <class T>
concept AnyFuture = kIsFuture<std::remove_cvref_t<T>>;

/// The deadline of a timeout; one too far for the clock is none, a negative one has passed.
template <class Rep, class Period>
Deadline deadline_in(const std::chrono::duration<Rep, Period>& timeout) {
  const auto now = Clock::now();
  using Seconds = std::chrono::duration<double>;
  if (Seconds(timeout) >= Seconds((Clock::time_point::max)() - now)) return std::nullopt;
  if (!(Seconds(timeout).count() > 0)) return now;
  return now + std::chrono::ceil<Clock::duration>(timeout);
}

template <class R>
Completion* completion_of(const Future<R>& future) {
  if (!future.valid()) throw Error("waiting for an empty Future: it was moved from or never came from a submit");
  return future.completion();
}

template <class Futures>
std::vector<Completion*> completions_of(Futures& futures) {
  std::vector<Completion*> set;
  if constexpr (std::ranges::sized_range<Futures>) set.reserve(std::ranges::size(futures));
  for (const auto& future : futures) set.push_back(completion_of(future));
  return set;
}

bool wait_for_all(std::span<Completion* const> set, const Deadline& deadline);
/// The first that is done; nullopt if the deadline passed. Throws Error if `set` is empty.
std::optional<std::size_t> wait_for_first(std::span<Completion* const> set, const Deadline& deadline);

}  // namespace detail

/// A range that can be walked again and whose elements are futures, of any executors, mixed.
template <class R>
concept FutureRange = std::ranges::forward_range<R> && detail::AnyFuture<std::ranges::range_value_t<R>>;

/// Waits until all `futures` have ended, in whichever way; never throws what a task threw. An empty range is
/// ready at once; an empty future throws Error. Any thread; a thread of a ThreadPool may run those that have
/// not started.
///
///     retinue::wait_all(futures);
///     if (retinue::wait_all(futures, 2s) == retinue::FutureStatus::timeout) std::cerr << "still at it\n";
template <FutureRange Futures>
void wait_all(Futures&& futures) {
  detail::wait_for_all(detail::completions_of(futures), std::nullopt);
}
/// As above, at most for `timeout`.
template <FutureRange Futures, class Rep, class Period>
FutureStatus wait_all(Futures&& futures, const std::chrono::duration<Rep, Period>& timeout) {
  const bool all = detail::wait_for_all(detail::completions_of(futures), detail::deadline_in(timeout));
  return all ? FutureStatus::ready : FutureStatus::timeout;
}
/// As above for futures of different types: `wait_all(name, size)`.
template <detail::AnyFuture... Futures>
  requires(sizeof...(Futures) > 0)
void wait_all(const Futures&... futures) {
  detail::wait_for_all(std::array<detail::Completion*, sizeof...(Futures)>{detail::completion_of(futures)...},
                       std::nullopt);
}

/// Waits until one of `futures` has ended and gives its place in the range: the first of them if several have.
/// Throws Error if there is none to wait for.
template <FutureRange Futures>
std::size_t wait_any(Futures&& futures) {
  return *detail::wait_for_first(detail::completions_of(futures), std::nullopt);
}
/// As above, at most for `timeout`; nullopt if none has ended by then.
template <FutureRange Futures, class Rep, class Period>
std::optional<std::size_t> wait_any(Futures&& futures, const std::chrono::duration<Rep, Period>& timeout) {
  return detail::wait_for_first(detail::completions_of(futures), detail::deadline_in(timeout));
}
/// As above for futures of different types.
template <detail::AnyFuture... Futures>
  requires(sizeof...(Futures) > 0)
std::size_t wait_any(const Futures&... futures) {
  return *detail::wait_for_first(std::array<detail::Completion*, sizeof...(Futures)>{detail::completion_of(futures)...},
                                 std::nullopt);
}

}  // namespace retinue
