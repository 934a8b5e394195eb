// Folding in the workers over runs of inputs, then in the owner over the runs.
#pragma once

#include <cstddef>
#include <functional>
#include <ranges>
#include <type_traits>
#include <utility>

#include <retinue/detail/patterns/runs.hpp>

namespace retinue::detail {

/// What a worker sends back for a run: its fold, and how long it took.
template <class T>
struct RunFold {
  T partial;
  RunTime time;
};

/// Folds give(0), give(1), ... give(n - 1), of which there is one at least, in this order. Where values are small and plain,
/// each four are folded into one first: they do not wait for each other, and compilers can put them side by side.
template <class T, class F, class Combine, class Give>
T fold_in_order(const F& f, const Combine& combine, std::size_t n, const Give& give) {
  const auto value = [&](std::size_t i) -> T { return T(call_on(f, give(i))); };
  T folded = value(0);
  std::size_t i = 1;
  if constexpr (std::is_trivially_copyable_v<T> && sizeof(T) <= 2 * sizeof(void*)) {
    for (; n - i >= 4; i += 4) {
      T a = value(i);
      a = call_on(combine, std::move(a), value(i + 1));
      T b = value(i + 2);
      b = call_on(combine, std::move(b), value(i + 3));
      a = call_on(combine, std::move(a), std::move(b));
      folded = call_on(combine, std::move(folded), std::move(a));
    }
  }
  for (; i < n; ++i) folded = call_on(combine, std::move(folded), value(i));
  return folded;
}

/// What a worker does with a run, which is never empty. An aggregate, so that it travels if its parts do.
template <class T, class Run, class F, class Combine>
struct FoldRun {
  F f;
  Combine combine;

  RunFold<T> operator()(Run run) const {
    const RunClock clock;
    const std::size_t n = run.size();
    T folded = with_elements<F>(run, [&](const auto& give) -> T { return fold_in_order<T>(f, combine, n, give); });
    return {std::move(folded), clock.of(n)};
  }
};

}  // namespace retinue::detail

namespace retinue {

template <class Derived>
template <class F, std::ranges::input_range R, class T, class Combine>
T ExecutorInterface<Derived>::map_reduce(F&& f, R&& inputs, T init, Combine combine) {
  const auto access = [this](const void* data) { return detail::access_of(self(), options(), data); };
  detail::Runs<R> runs(std::forward<R>(inputs), detail::RunLength(self().workers()), access);
  using Fold = detail::FoldRun<T, typename detail::Runs<R>::Run, std::decay_t<F>, Combine>;
  // The first failed run's exception comes out of here and cancels the runs that have not started.
  for (auto& fold : self().map_tasks(options(), detail::Order::inputs, Fold{std::forward<F>(f), combine}, runs)) {
    runs.took(fold.time);
    init = std::invoke(combine, std::move(init), std::move(fold.partial));
  }
  return init;
}

}  // namespace retinue
