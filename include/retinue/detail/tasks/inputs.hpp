// Several input ranges walked together, up to the shortest.
#pragma once

#include <cstddef>
#include <optional>
#include <ranges>
#include <tuple>
#include <utility>

namespace retinue::detail {

/// The inputs of one map, owned where they were temporaries and referred to where they were named
/// (as std::views::all does). Reads each element once, in order. Used by one thread at a time.
template <std::ranges::input_range... Rs>
class Inputs {
 public:
  template <class... Gs>
  explicit Inputs(std::in_place_t, Gs&&... ranges) : ranges_(std::views::all(std::forward<Gs>(ranges))...) {}
  Inputs(const Inputs&) = delete;
  Inputs& operator=(const Inputs&) = delete;

  /// Calls `use(element...)` with the next elements; false if any input has ended. Iterators are made
  /// on the first call and advanced just before the next read, never after the last one that is used.
  template <class Use>
  bool next(Use&& use) {
    if (ended_) return false;
    if (!iterators_) {
      std::apply([this](auto&... r) { iterators_.emplace(std::ranges::begin(r)...); }, ranges_);
    } else {
      std::apply([](auto&... it) { (++it, ...); }, *iterators_);
    }
    if (any_at_end(std::index_sequence_for<Rs...>{})) {
      ended_ = true;
      return false;
    }
    std::apply([&use](auto&... it) { std::forward<Use>(use)(*it...); }, *iterators_);
    return true;
  }

 private:
  template <std::size_t... Index>
  bool any_at_end(std::index_sequence<Index...>) {
    return ((std::get<Index>(*iterators_) == std::ranges::end(std::get<Index>(ranges_))) || ...);
  }

  std::tuple<std::views::all_t<Rs>...> ranges_;
  std::optional<std::tuple<std::ranges::iterator_t<std::views::all_t<Rs>>...>> iterators_;
  bool ended_ = false;
};

}  // namespace retinue::detail
