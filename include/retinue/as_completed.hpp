// Futures in the order in which they are done.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <chrono>
#include <cstddef>
#include <iterator>
#include <memory>
#include <ranges>
#include <utility>
#include <vector>

#include <retinue/future.hpp>
#include <retinue/wait.hpp>

namespace retinue {

namespace detail {

/// The order in which the members of a set are done, found out by looking at all that are not when none is
/// known to be: one look gathers many where tasks are tiny. Used by one thread at a time.
class CompletionOrder {
 public:
  CompletionOrder(std::vector<Completion*> set, const Deadline& deadline);
  /// Waits for the next; false when all have been given. Throws TaskTimeout when the deadline has passed.
  bool next(std::size_t& index);

 private:
  void gather();

  std::vector<Completion*> waiting_;
  std::vector<std::size_t> places_;  // of those waiting, in the original set
  std::vector<std::size_t> done_;    // places, to be given from given_ on
  std::size_t given_ = 0;
  std::size_t all_;
  Deadline deadline_;
};

}  // namespace detail

/// What `as_completed` gives: an input range over `Future<R>&`, to be walked once, by one thread. The futures
/// stay where they are and must not be moved meanwhile.
template <class R>
class CompletedRange {
 public:
  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using iterator_category = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = Future<R>;
    using reference = Future<R>&;
    using pointer = Future<R>*;
    Iterator() = default;
    explicit Iterator(CompletedRange* range) noexcept : range_(range) {}
    reference operator*() const noexcept { return *range_->futures_[range_->current_]; }
    pointer operator->() const noexcept { return &**this; }
    /// Waits for the next one.
    Iterator& operator++() {
      range_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& it, std::default_sentinel_t) noexcept { return it.range_->at_end(); }

   private:
    CompletedRange* range_ = nullptr;
  };

  CompletedRange(std::vector<Future<R>*> futures, std::unique_ptr<std::vector<Future<R>>> owned,
                 const detail::Deadline& deadline)
      : owned_(std::move(owned)), futures_(std::move(futures)), order_(completions(futures_), deadline) {}

  /// Waits for the first one.
  Iterator begin() {
    if (!started_) {
      started_ = true;
      advance();
    }
    return Iterator(this);
  }
  std::default_sentinel_t end() const noexcept { return {}; }
  bool at_end() const noexcept { return at_end_; }

 private:
  static std::vector<detail::Completion*> completions(const std::vector<Future<R>*>& futures) {
    std::vector<detail::Completion*> set;
    set.reserve(futures.size());
    for (const Future<R>* const future : futures) set.push_back(detail::completion_of(*future));
    return set;
  }
  void advance() { at_end_ = !order_.next(current_); }

  std::unique_ptr<std::vector<Future<R>>> owned_;
  std::vector<Future<R>*> futures_;
  detail::CompletionOrder order_;
  std::size_t current_ = 0;
  bool started_ = false;
  bool at_end_ = false;
};

namespace detail {

template <class Futures>
auto in_order_of_completion(Futures&& futures, const Deadline& deadline) {
  using F = std::ranges::range_value_t<Futures>;
  using Reference = std::ranges::range_reference_t<Futures>;
  // A future behind a view (a span, a transform of a vector of jobs) belongs to somebody else.
  constexpr bool refers = std::is_same_v<Reference, F&> &&
                          (std::is_lvalue_reference_v<Futures> || std::ranges::view<std::remove_cvref_t<Futures>>);
  std::vector<F*> pointers;
  std::unique_ptr<std::vector<F>> owned;
  if constexpr (refers) {
    for (F& future : futures) pointers.push_back(&future);
  } else {
    owned = std::make_unique<std::vector<F>>();
    for (auto&& future : futures) owned->push_back(std::move(future));
    for (F& future : *owned) pointers.push_back(&future);
  }
  return CompletedRange<typename F::value_type>(std::move(pointers), std::move(owned), deadline);
}

}  // namespace detail

/// The futures of a range in the order in which they are done, each as soon as it is. Futures of different
/// executors may be mixed. A named range, or a view of one, is referred to and must outlive the loop; a
/// temporary container is taken over. Throws Error if one of the futures is empty. Failed tasks come in turn
/// too: `get()` throws what they ended with.
///
///     for (auto& future : retinue::as_completed(futures)) std::cout << future.get() << '\n';
template <std::ranges::input_range Futures>
  requires detail::AnyFuture<std::ranges::range_value_t<Futures>>
auto as_completed(Futures&& futures) {
  return detail::in_order_of_completion(std::forward<Futures>(futures), std::nullopt);
}

/// As above, but at most for `timeout` from now: the step that finds none done in time throws TaskTimeout. The
/// tasks go on, and their futures stay as they are.
template <std::ranges::input_range Futures, class Rep, class Period>
  requires detail::AnyFuture<std::ranges::range_value_t<Futures>>
auto as_completed(Futures&& futures, const std::chrono::duration<Rep, Period>& timeout) {
  return detail::in_order_of_completion(std::forward<Futures>(futures), detail::deadline_in(timeout));
}

}  // namespace retinue
