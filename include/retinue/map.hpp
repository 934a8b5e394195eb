// One map, any closure: the workers are forked for the call.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <cstdint>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>

#include <retinue/process_pool.hpp>

namespace retinue {
namespace detail {

/// A function that the workers inherited by the fork, found by its address: good in workers forked
/// while it lived, whatever it captured.
template <class F>
struct InheritedCall {
  std::uintptr_t function;
  template <class... A>
  auto operator()(A&&... args) const -> std::invoke_result_t<F&, A...> {
    return std::invoke(*reinterpret_cast<F*>(function), std::forward<A>(args)...);
  }
};

/// A map with a pool of its own, which ends with it.
template <class T, class F>
class ForkedMap final : public MapSource<T> {
 public:
  template <class... Rs>
  explicit ForkedMap(F function, Rs&&... inputs)
      : function_(std::make_unique<F>(std::move(function))),
        results_(
            pool_.map(InheritedCall<F>{reinterpret_cast<std::uintptr_t>(function_.get())}, std::forward<Rs>(inputs)...)
                .outcomes()) {}

  bool next(Outcome<T>& into) override {
    auto it = results_.begin();
    if (started_) ++it;
    started_ = true;
    if (it == results_.end()) return false;
    into = std::move(*it);
    return true;
  }

 private:
  std::unique_ptr<F> function_;
  ProcessPool pool_;  // forked after the function was put in its place
  OutcomeRange<T> results_;
  bool started_ = false;
};

}  // namespace detail

/// As `ProcessPool::map`, over workers that are forked for this one call (one for each CPU) and end with
/// the range. So `f` may be any closure: what it captured, by value or by reference, is simply there in
/// the workers, as it was at the call, however large. Changes the workers make to it are their own and
/// are lost. Elements and results are encoded as always.
///
/// Costs about a millisecond for the forks; for many small maps make a `ProcessPool`. Throws what making
/// a ProcessPool throws.
///
///     std::vector<Row> table = load();
///     for (double s : retinue::map([&](std::size_t i) { return score(table, i); },
///                                  std::views::iota(std::size_t{0}, table.size()))) ...
template <class F, std::ranges::input_range... Rs>
  requires(sizeof...(Rs) > 0)
auto map(F&& f, Rs&&... inputs) {
  using Function = std::decay_t<F>;
  using Results = decltype(std::declval<ProcessPool&>().map(std::declval<detail::InheritedCall<Function>>(),
                                                            std::forward<Rs>(inputs)...));
  using T = typename Results::value_type;
  return MapRange<T>(std::make_unique<detail::ForkedMap<T, Function>>(std::forward<F>(f), std::forward<Rs>(inputs)...));
}

}  // namespace retinue
