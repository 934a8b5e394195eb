// A large result, read where the worker has written it.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <cstddef>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <retinue/detail/codec/ranges.hpp>
#include <retinue/future.hpp>

namespace retinue {

/// The elements of a vector or string that a task has returned, to be read. Copies share them; they live as long as the last
/// one, also beyond future and pool. A contiguous range, and a `std::span<const T>` where one is wanted. Any number of threads
/// may read at once. After a fork the child must not use its parent's views: the parent may reuse the memory.
template <class T>
class ResultView {
 public:
  using value_type = T;
  using const_iterator = typename std::span<const T>::iterator;

  /// Of nothing.
  ResultView() = default;
  /// For `result_view`: `elements`, which `owner` keeps.
  ResultView(std::shared_ptr<const void> owner, std::span<const T> elements) noexcept
      : owner_(std::move(owner)), elements_(elements) {}

  const T* data() const noexcept { return elements_.data(); }
  std::size_t size() const noexcept { return elements_.size(); }
  bool empty() const noexcept { return elements_.empty(); }
  const T& operator[](std::size_t i) const noexcept { return elements_[i]; }
  const_iterator begin() const noexcept { return elements_.begin(); }
  const_iterator end() const noexcept { return elements_.end(); }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const T> elements_;
};

namespace detail {

template <class R>
inline constexpr bool kTravelsAsRun = false;
template <class T, class Allocator>
inline constexpr bool kTravelsAsRun<std::vector<T, Allocator>> = kReadInPlace<T> && !std::is_same_v<T, bool>;
template <class C, class Traits, class Allocator>
inline constexpr bool kTravelsAsRun<std::basic_string<C, Traits, Allocator>> = true;

/// What can be viewed: contiguous elements that travel as their bytes.
template <class R>
concept Viewable = kTravelsAsRun<R>;

}  // namespace detail

/// Waits for a task that returns a `std::vector` of plain elements or a string, and gives its elements without copying them
/// out of the memory that the worker wrote them to, which `get()` does. May be called again. Of a `ThreadPool` or
/// `SerialExecutor` the view holds what `get()` gives. Throws what the task ended with.
///
///     retinue::ResultView<double> samples = retinue::result_view(pool.submit(simulate, 10'000'000));
///     double sum = std::reduce(samples.begin(), samples.end());
template <detail::Viewable R>
ResultView<std::ranges::range_value_t<R>> result_view(const Future<R>& future) {
  using T = std::ranges::range_value_t<R>;
  future.wait();
  detail::Completion* const task = future.completion();
  if (task == nullptr) return {};  // not reached: an empty future throws above
  if (detail::EncodedCompletion* const encoded = task->encoded()) {
    const std::span<const std::byte> bytes = encoded->value_bytes();
    Reader reader(bytes.data(), bytes.size());
    const std::span<const T> elements = detail::view_run<T>(reader);
    reader.finish();
    encoded->add_ref();
    return {std::shared_ptr<const void>(encoded, [](detail::EncodedCompletion* held) { held->release(); }), elements};
  }
  auto value = std::make_shared<const R>(future.get());
  return {value, std::span<const T>(std::ranges::data(*value), std::ranges::size(*value))};
}

}  // namespace retinue
