// Folding in the workers over runs of inputs, then in the owner over the runs.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <iterator>
#include <limits>
#include <memory>
#include <ranges>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/call.hpp>
#include <retinue/detail/tasks/inputs.hpp>

namespace retinue::detail {

/// What a worker sends back for a run: its fold, and how long it took.
template <class T>
struct RunFold {
  T partial;
  std::uint64_t ns;
};

/// What a worker does with a run, which is never empty. An aggregate, so that it travels if its parts do.
template <class T, class E, class F, class Combine>
struct FoldRun {
  F f;
  Combine combine;

  RunFold<T> operator()(std::vector<E> run) const {
    const auto start = std::chrono::steady_clock::now();
    T folded(call_on(f, std::move(run.front())));
    for (auto it = std::next(run.begin()); it != run.end(); ++it) {
      folded = call_on(combine, std::move(folded), T(call_on(f, std::move(*it))));
    }
    const auto spent = std::chrono::steady_clock::now() - start;
    return {std::move(folded),
            static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count())};
  }
};

/// The length of the next run. It starts at one and is led by what finished runs took, at most fourfold at a
/// time, to where a run outweighs its own costs and is still short against the whole. Where the inputs left are
/// known, a run is never more than a fair part of them, so that all workers end together.
class RunLength {
 public:
  explicit RunLength(unsigned workers) noexcept : workers_(workers) {}

  std::size_t next(std::size_t left) const noexcept {
    const std::size_t fair = std::max<std::size_t>(1, left / (2 * std::size_t{workers_}));
    return std::min(length_, fair);
  }
  /// A run of `length` took `ns`. Only as good as its own length: many runs of one length are under way at
  /// once, and each of them says the same, not four times more than the last.
  void took(std::size_t length, std::uint64_t ns) noexcept {
    const double ratio = std::clamp(kTargetNs / static_cast<double>(std::max<std::uint64_t>(ns, 1)), 0.25, 4.0);
    const double wanted = static_cast<double>(length) * ratio;
    // A short run at the tail of a range says nothing against longer ones, unless it was slow.
    if (ratio >= 1.0 && wanted < static_cast<double>(length_)) return;
    length_ = static_cast<std::size_t>(std::clamp(wanted, 1.0, static_cast<double>(kLongest)));
  }

 private:
  static constexpr double kTargetNs = 150'000;
  static constexpr std::size_t kLongest = std::size_t{1} << 20;
  unsigned workers_;
  std::size_t length_ = 1;
};

/// The inputs, read a run at a time.
template <class R>
class RunInputs {
 public:
  explicit RunInputs(R&& inputs) : inputs_(std::in_place, std::forward<R>(inputs)) {}

  void read(std::vector<Element<R>>& run, std::size_t length) {
    run.reserve(std::min(length, std::size_t{4096}));
    const auto take = [&run](auto&& e) { run.push_back(element_of<R>(std::forward<decltype(e)>(e))); };
    while (run.size() < length && inputs_.next(take)) {
    }
  }

 private:
  Inputs<R> inputs_;
};

/// Where elements are plain bytes and can be reached by index they are copied as one stretch.
template <class R>
  requires(std::ranges::random_access_range<std::views::all_t<R>> && std::ranges::sized_range<std::views::all_t<R>> &&
           std::is_trivially_copyable_v<Element<R>> &&
           std::is_same_v<Element<R>, std::ranges::range_value_t<std::views::all_t<R>>>)
class RunInputs<R> {
 public:
  explicit RunInputs(R&& inputs) : all_(std::views::all(std::forward<R>(inputs))) {}

  void read(std::vector<Element<R>>& run, std::size_t length) {
    using Distance = std::ranges::range_difference_t<std::views::all_t<R>>;
    const auto size = static_cast<std::size_t>(std::ranges::size(all_));
    const std::size_t end = read_ + std::min(length, size - std::min(read_, size));
    const auto from = std::ranges::begin(all_) + static_cast<Distance>(read_);
    const auto count = static_cast<Distance>(end - read_);
    if constexpr (std::ranges::contiguous_range<std::views::all_t<R>>) {
      run.assign(std::to_address(from), std::to_address(from + count));
    } else {
      run.reserve(end - read_);
      std::ranges::copy_n(from, count, std::back_inserter(run));
    }
    read_ = end;
  }

 private:
  std::views::all_t<R> all_;
  std::size_t read_ = 0;
};

/// The inputs cut into runs, as an input range; each step reads the next run. Used by one thread at a time.
template <class R>
class Runs {
 public:
  using Run = std::vector<Element<R>>;

  Runs(R&& inputs, unsigned workers) : length_(workers), left_(size_of(inputs)), inputs_(std::forward<R>(inputs)) {}
  Runs(const Runs&) = delete;
  Runs& operator=(const Runs&) = delete;

  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = Run;
    Iterator() = default;
    explicit Iterator(Runs* runs) noexcept : runs_(runs) {}
    Run&& operator*() const noexcept { return std::move(runs_->run_); }
    Iterator& operator++() {
      runs_->read();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& it, std::default_sentinel_t) noexcept { return it.runs_->at_end(); }

   private:
    Runs* runs_ = nullptr;
  };

  Iterator begin() {
    read();
    return Iterator(this);
  }
  std::default_sentinel_t end() const noexcept { return {}; }

  bool at_end() const noexcept { return run_.empty(); }

  /// The oldest run whose result has not been reported took `ns`.
  void took(std::uint64_t ns) noexcept {
    length_.took(lengths_.front(), ns);
    lengths_.pop_front();
  }

 private:
  template <class G>
  static std::size_t size_of(G& inputs) {
    if constexpr (std::ranges::sized_range<G&>) return static_cast<std::size_t>(std::ranges::size(inputs));
    else return std::numeric_limits<std::size_t>::max();
  }

  void read() {
    const std::size_t length = length_.next(left_);
    run_ = Run();
    inputs_.read(run_, length);
    left_ -= std::min(left_, run_.size());
    if (!run_.empty()) lengths_.push_back(run_.size());
  }

  RunLength length_;
  std::size_t left_;
  RunInputs<R> inputs_;
  Run run_;
  std::deque<std::size_t> lengths_;  // of the runs under way
};

}  // namespace retinue::detail

namespace retinue {

template <class Derived>
template <class F, std::ranges::input_range R, class T, class Combine>
T ExecutorInterface<Derived>::map_reduce(F&& f, R&& inputs, T init, Combine combine) {
  detail::Runs<R> runs(std::forward<R>(inputs), self().workers());
  using Fold = detail::FoldRun<T, detail::Element<R>, std::decay_t<F>, Combine>;
  // The first failed run's exception comes out of here and cancels the runs that have not started.
  for (auto& fold : self().map_tasks(options(), detail::Order::inputs, Fold{std::forward<F>(f), combine}, runs)) {
    runs.took(fold.ns);
    init = std::invoke(combine, std::move(init), std::move(fold.partial));
  }
  return init;
}

}  // namespace retinue
