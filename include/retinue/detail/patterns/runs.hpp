// Inputs cut into runs, whose length follows the time they take.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/access.hpp>
#include <retinue/detail/tasks/call.hpp>
#include <retinue/detail/tasks/inputs.hpp>
#include <retinue/detail/tasks/stretch.hpp>

namespace retinue::detail {

/// How long a run was, and what it took.
struct RunTime {
  std::uint64_t length = 0;
  std::uint64_t ns = 0;
};

/// Since it was made.
class RunClock {
 public:
  RunTime of(std::size_t length) const noexcept {
    const auto spent = std::chrono::steady_clock::now() - start_;
    return {length, static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count())};
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The length of the next run. It starts at one and is led by what finished runs took, at most fourfold at a
/// time, to where a run outweighs its own costs and is still short against the whole. Where the inputs left are
/// known, a run is never more than a fair part of them, so that all workers end together, but for the last fraction of a
/// microsecond.
class RunLength {
 public:
  /// With `longest_element`, elements that take more than so many nanoseconds stay alone.
  explicit RunLength(unsigned workers,
                     std::uint64_t longest_element = (std::numeric_limits<std::uint64_t>::max)()) noexcept
      : workers_(workers), longest_element_(longest_element) {}

  std::size_t next(std::size_t left) const noexcept {
    const std::size_t fair = left / (2 * std::size_t{workers_});
    return (std::min)({length_, (std::max)(fair, shortest_), std::max<std::size_t>(left, 1)});
  }
  /// A run of `length` took `ns`. Only as good as its own length: many runs of one length are under way at
  /// once, and each of them says the same, not four times more than the last.
  void took(std::size_t length, std::uint64_t ns) noexcept {
    const double elements_a_ns = static_cast<double>(length) / static_cast<double>(std::max<std::uint64_t>(ns, 1));
    shortest_ = (std::max<std::size_t>)(1, static_cast<std::size_t>(kNotWorthDividingNs * elements_a_ns));
    if (ns / (std::max<std::size_t>)(length, 1) > longest_element_) {
      length_ = 1;
      return;
    }
    const double ratio = std::clamp(kTargetNs / static_cast<double>(std::max<std::uint64_t>(ns, 1)), 0.25, 4.0);
    const double wanted = static_cast<double>(length) * ratio;
    // A short run at the tail of a range says nothing against longer ones, unless it was slow.
    if (ratio >= 1.0 && wanted < static_cast<double>(length_)) return;
    length_ = static_cast<std::size_t>(std::clamp(wanted, 1.0, static_cast<double>(kLongest)));
  }

 private:
  static constexpr double kTargetNs = 150'000;
  static constexpr double kNotWorthDividingNs = 200;
  static constexpr std::size_t kLongest = std::size_t{1} << 20;
  unsigned workers_;
  std::uint64_t longest_element_;
  std::size_t length_ = 1;
  std::size_t shortest_ = 1;  // what takes no longer than handing it over
};

/// The inputs, read a run at a time: one element after the other.
template <class R>
class RunInputs {
 public:
  using Run = std::vector<Element<R>>;

  explicit RunInputs(R&& inputs) : inputs_(std::in_place, std::forward<R>(inputs)) {}

  const void* address() const noexcept { return nullptr; }
  Run read(std::size_t length, Access) {
    Run run;
    run.reserve((std::min)(length, std::size_t{4096}));
    const auto take = [&run](auto&& e) { run.push_back(element_of<R>(std::forward<decltype(e)>(e))); };
    while (run.size() < length && inputs_.next(take)) {
    }
    return run;
  }

 private:
  Inputs<R> inputs_;
};

/// Where elements are plain bytes and can be reached by index they are copied as one stretch.
template <class R>
  requires(std::ranges::random_access_range<std::views::all_t<R>> && std::ranges::sized_range<std::views::all_t<R>> &&
           std::is_trivially_copyable_v<Element<R>> &&
           std::is_same_v<Element<R>, std::ranges::range_value_t<std::views::all_t<R>>> && !LiesInMemory<R> &&
           !Counts<R>)
class RunInputs<R> {
 public:
  using Run = std::vector<Element<R>>;

  explicit RunInputs(R&& inputs) : all_(std::views::all(std::forward<R>(inputs))) {}

  const void* address() const noexcept { return nullptr; }
  Run read(std::size_t length, Access) {
    using Distance = std::ranges::range_difference_t<std::views::all_t<R>>;
    const auto size = static_cast<std::size_t>(std::ranges::size(all_));
    const std::size_t end = read_ + (std::min)(length, size - (std::min)(read_, size));
    const auto from = std::ranges::begin(all_) + static_cast<Distance>(read_);
    Run run;
    run.reserve(end - read_);
    std::ranges::copy_n(from, static_cast<Distance>(end - read_), std::back_inserter(run));
    read_ = end;
    return run;
  }

 private:
  std::views::all_t<R> all_;
  std::size_t read_ = 0;
};

/// Where they lie side by side they stay there, as far as whoever runs the tasks can reach them.
template <LiesInMemory R>
class RunInputs<R> {
  using Reference = std::ranges::range_reference_t<std::views::all_t<R>>;
  // As element_of: what the map owns is moved out.
  static constexpr bool kTakes = !std::is_lvalue_reference_v<R> && !std::ranges::view<std::remove_cvref_t<R>> &&
                                 !std::is_const_v<std::remove_reference_t<Reference>>;

 public:
  using Run = Stretch<Element<R>>;
  static_assert(kTakes || std::copy_constructible<Element<R>>,
                "the elements can only be moved, so move their container in");

  explicit RunInputs(R&& inputs)
      : all_(std::views::all(std::forward<R>(inputs))),
        next_(std::to_address(std::ranges::begin(all_))),
        left_(static_cast<std::size_t>(std::ranges::size(all_))) {}
  RunInputs(const RunInputs&) = delete;
  RunInputs& operator=(const RunInputs&) = delete;

  const void* address() const noexcept { return next_; }
  Run read(std::size_t length, Access access) {
    const std::size_t n = (std::min)(length, left_);
    Run run(next_, n, kTakes, access == Access::shared);
    next_ += n;
    left_ -= n;
    if (access == Access::copied) return std::move(run).copy();
    return run;
  }

 private:
  std::views::all_t<R> all_;
  const Element<R>* next_ = nullptr;
  std::size_t left_ = 0;
};

/// Numbers are counted where they are needed.
template <Counts R>
class RunInputs<R> {
 public:
  using Run = Numbers<Element<R>>;

  explicit RunInputs(R&& inputs)
      : left_(static_cast<std::size_t>(std::ranges::size(inputs))),
        next_(left_ == 0 ? Element<R>() : *std::ranges::begin(inputs)) {}

  const void* address() const noexcept { return nullptr; }
  Run read(std::size_t length, Access) noexcept {
    using Unsigned = std::make_unsigned_t<Element<R>>;
    const Run run{next_, (std::min)(length, left_)};
    next_ =
        static_cast<Element<R>>(static_cast<Unsigned>(static_cast<Unsigned>(next_) + static_cast<Unsigned>(run.count)));
    left_ -= run.size();
    return run;
  }

 private:
  std::size_t left_ = 0;
  Element<R> next_{};
};

/// The inputs cut into runs, as an input range; each step reads the next run. Used by one thread at a time.
template <class R>
class Runs : public InputRuns {
 public:
  using Run = typename RunInputs<R>::Run;

  /// `access(address)` says how the tasks come by what lies there.
  template <class AccessOf>
  Runs(R&& inputs, const RunLength& length, const AccessOf& access)
      : InputRuns(Access::copied), length_(length), left_(size_of(inputs)), inputs_(std::forward<R>(inputs)) {
    if constexpr (LiesInMemory<R>) access_ = access(inputs_.address());
  }

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

  /// What one of the runs took.
  void took(const RunTime& time) noexcept {
    const auto length = static_cast<std::size_t>(time.length);
    length_.took(length, time.ns);
    settled_ = access_ != Access::encoded && length_.next(left_) < 2 * length;
  }

 private:
  template <class G>
  static std::size_t size_of(G& inputs) {
    if constexpr (std::ranges::sized_range<G&>) return static_cast<std::size_t>(std::ranges::size(inputs));
    else return (std::numeric_limits<std::size_t>::max)();
  }

  void read() {
    run_ = inputs_.read(length_.next(left_), access_);
    left_ -= (std::min)(left_, run_.size());
  }

  RunLength length_;
  std::size_t left_;
  RunInputs<R> inputs_;
  Run run_{};
};

}  // namespace retinue::detail
