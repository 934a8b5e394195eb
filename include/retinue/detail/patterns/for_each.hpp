// A function on each element, in threads of this process: over runs of inputs, where they need not be read one by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ranges>
#include <type_traits>
#include <utility>

#include <retinue/detail/patterns/runs.hpp>

namespace retinue::detail {

/// What a thread does with a run.
template <class Run, class F>
struct EachOfRun {
  F f;

  RunTime operator()(Run run) const {
    const RunClock clock;
    const std::size_t n = run.size();
    with_elements<F>(run, [&](const auto& give) {
      for (std::size_t i = 0; i < n; ++i) static_cast<void>(call_on(f, give(i)));
    });
    return clock.of(n);
  }
};

/// An element that takes longer, in nanoseconds, is a task of its own, behind which none has to wait.
inline constexpr std::uint64_t kLongestInARun = 2000;

}  // namespace retinue::detail

namespace retinue {

template <class Derived>
template <class F, std::ranges::input_range... Rs>
  requires(sizeof...(Rs) > 0)
void ExecutorInterface<Derived>::for_each(F&& f, Rs&&... inputs) {
  if constexpr (sizeof...(Rs) == 1 && ((detail::LiesInMemory<Rs> || detail::Counts<Rs>) && ...)) {
    // In processes each element is a task: a death costs one.
    if (detail::access_of(self(), options(), nullptr) == detail::Access::lent) {
      detail::RunLength length(self().workers(), detail::kLongestInARun);
      const auto lent = [](const void*) { return detail::Access::lent; };
      detail::Runs<Rs...> runs(std::forward<Rs>(inputs)..., length, lent);
      using Each = detail::EachOfRun<typename detail::Runs<Rs...>::Run, std::decay_t<F>>;
      for (auto& time : self().map_tasks(options(), detail::Order::completion, Each{std::forward<F>(f)}, runs))
        runs.took(time);
      return;
    }
  }
  for ([[maybe_unused]] auto& done : map_unordered(std::forward<F>(f), std::forward<Rs>(inputs)...)) {
  }
}

}  // namespace retinue
