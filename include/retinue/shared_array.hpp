// Arrays that the owner and all its workers see.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <retinue/detail/codec/require.hpp>
#include <retinue/error.hpp>
#include <retinue/shared_view.hpp>

namespace retinue {
namespace detail {

class Arena;

/// A block of the region owned by this process.
struct SharedMemory {
  void* data = nullptr;
  std::uint64_t bytes = 0;
  std::uint64_t generation = 0;  ///< of the process that allocated it; a forked child does not free it
  Arena* arena = nullptr;        ///< of the worker that made it, if it came as a result
};
/// From the arena of the region that belongs to this process, aligned to 64. Throws ResourceExhausted.
SharedMemory allocate_shared(std::uint64_t bytes);
/// The same from this process's own region, also in a worker: for the workers of a worker.
SharedMemory allocate_for_workers(std::uint64_t bytes);
/// The same with a copy of the bytes at `data` in it.
SharedMemory copy_for_workers(const void* data, std::uint64_t bytes);
void free_shared(const SharedMemory& memory) noexcept;
/// True if it lies in this process's own region, which also workers of its pools that start as fresh programs see.
bool is_own_shared(const void* data) noexcept;
template <class Array>
struct ArrayResult;

}  // namespace detail

/// A view of a SharedArray that travels: a trivially copyable handle, an address and a length, good in the
/// owner and in every worker as long as the array lives. Pass it to tasks, capture it in lambdas. Like
/// std::span it does not check its indices, and who writes where at the same time is for the tasks to agree.
template <class T>
class SharedSpan {
 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using iterator = T*;

  SharedSpan() = default;
  SharedSpan(T* data, std::size_t size) noexcept : address_(reinterpret_cast<std::uintptr_t>(data)), size_(size) {}
  /// A view for reading of a view for writing.
  template <class U>
    requires std::is_same_v<const U, T>
  SharedSpan(const SharedSpan<U>& other) noexcept : SharedSpan(other.data(), other.size()) {}

  T* data() const noexcept { return reinterpret_cast<T*>(address_); }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T& operator[](std::size_t i) const noexcept { return data()[i]; }
  T* begin() const noexcept { return data(); }
  T* end() const noexcept { return data() + size_; }
  T& front() const noexcept { return data()[0]; }
  T& back() const noexcept { return data()[size_ - 1]; }
  operator std::span<T>() const noexcept { return {data(), size_}; }

  /// The part from `offset`, of `count` elements or to the end. Throws std::out_of_range.
  SharedSpan subspan(std::size_t offset, std::size_t count = std::dynamic_extent) const {
    if (offset > size_ || (count != std::dynamic_extent && count > size_ - offset))
      throw std::out_of_range("SharedSpan::subspan(" + std::to_string(offset) + ", " + std::to_string(count) + ") of " +
                              std::to_string(size_) + " elements");
    return {data() + offset, count == std::dynamic_extent ? size_ - offset : count};
  }
  /// The elements as an array of as many dimensions as extents are given, row by row: `span.view(rows, columns)`
  /// (shared_view.hpp). Throws std::invalid_argument unless the product of the extents is the size.
  template <std::integral... Extent>
    requires(sizeof...(Extent) > 0)
  SharedView<T, sizeof...(Extent)> view(Extent... extents) const {
    return {*this, {static_cast<std::size_t>(extents)...}};
  }

 private:
  std::uintptr_t address_ = 0;  // an integer: it is meant to travel as it is
  std::size_t size_ = 0;
};

template <class T>
inline constexpr bool detail::names_shared_memory<SharedSpan<T>> = true;

/// An array in memory that the owner and all its workers see, whether it is made before or after their
/// pool. Owns its memory; movable, not copyable; the owner frees it when it is destroyed, and no task may
/// use a span of it after that. In a worker it is memory of that worker, and dies with it at the latest.
///
/// `T` must be trivially copyable and should hold no pointers. Elements are zero at first. Thread-safe as a
/// std::vector is; between processes nothing is synchronised but by tasks: what the owner wrote before a
/// submit is seen by the task, what a task wrote is seen once its result was taken.
///
/// A task may return one: it passes to the owner as it is, without a copy, and is then the owner's, also when the worker
/// or the pool is gone. `Future::get` gives it once.
///
///     retinue::SharedArray<double> field(1'000'000);
///     pool.for_each([f = field.span()](std::size_t i) { f[i] = simulate(i); },
///                   std::views::iota(std::size_t{0}, field.size()));
template <class T>
class SharedArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>,
                "a SharedArray holds trivially copyable elements: several processes see their bytes");
  static_assert(alignof(T) <= 64, "a SharedArray aligns its elements to 64 bytes at most");

 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;

  SharedArray() = default;
  /// `size` elements, value-initialised. Throws ResourceExhausted when the machine does not have the memory.
  explicit SharedArray(std::size_t size) : SharedArray(size, T{}) {}
  SharedArray(std::size_t size, const T& value) : SharedArray(Unset{}, size) {
    std::uninitialized_fill_n(data(), size, value);
  }
  SharedArray(std::initializer_list<T> values) : SharedArray(Unset{}, values.size()) {
    std::uninitialized_copy(values.begin(), values.end(), data());
  }
  /// A copy of a range.
  template <std::ranges::sized_range R>
    requires std::convertible_to<std::ranges::range_reference_t<R>, T> &&
             (!std::is_same_v<std::decay_t<R>, SharedArray>)
  explicit SharedArray(R&& values) : SharedArray(Unset{}, static_cast<std::size_t>(std::ranges::size(values))) {
    std::ranges::copy(values, data());
  }

  SharedArray(SharedArray&& other) noexcept
      : memory_(std::exchange(other.memory_, {})), size_(std::exchange(other.size_, 0)) {}
  SharedArray& operator=(SharedArray&& other) noexcept {
    SharedArray old(std::move(*this));
    memory_ = std::exchange(other.memory_, {});
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~SharedArray() {
    if (memory_.data != nullptr) detail::free_shared(memory_);
  }

  T* data() noexcept { return static_cast<T*>(memory_.data); }
  const T* data() const noexcept { return static_cast<const T*>(memory_.data); }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T& operator[](std::size_t i) noexcept { return data()[i]; }
  const T& operator[](std::size_t i) const noexcept { return data()[i]; }
  /// Throws std::out_of_range.
  T& at(std::size_t i) { return data()[checked(i)]; }
  const T& at(std::size_t i) const { return data()[checked(i)]; }
  iterator begin() noexcept { return data(); }
  iterator end() noexcept { return data() + size_; }
  const_iterator begin() const noexcept { return data(); }
  const_iterator end() const noexcept { return data() + size_; }
  auto rbegin() noexcept { return std::reverse_iterator(end()); }
  auto rend() noexcept { return std::reverse_iterator(begin()); }
  auto rbegin() const noexcept { return std::reverse_iterator(end()); }
  auto rend() const noexcept { return std::reverse_iterator(begin()); }

  /// The handle to give to tasks.
  SharedSpan<T> span() noexcept { return {data(), size_}; }
  SharedSpan<const T> span() const noexcept { return {data(), size_}; }
  /// The handle of an array of several dimensions: see SharedSpan::view.
  template <std::integral... Extent>
    requires(sizeof...(Extent) > 0)
  SharedView<T, sizeof...(Extent)> view(Extent... extents) {
    return span().view(extents...);
  }
  template <std::integral... Extent>
    requires(sizeof...(Extent) > 0)
  SharedView<const T, sizeof...(Extent)> view(Extent... extents) const {
    return span().view(extents...);
  }

 private:
  template <class Array>
  friend struct detail::ArrayResult;
  struct Unset {};
  SharedArray(Unset, std::size_t size) : size_(size) {
    if (size > (std::uint64_t{1} << 62) / sizeof(T))
      throw ResourceExhausted("a SharedArray of " + std::to_string(size) + " elements of " + std::to_string(sizeof(T)) +
                                  " bytes is more than any machine has",
                              0);
    memory_ = detail::allocate_shared(size * sizeof(T));
  }
  std::size_t checked(std::size_t i) const {
    if (i >= size_)
      throw std::out_of_range("SharedArray::at(" + std::to_string(i) + ") of " + std::to_string(size_) + " elements");
    return i;
  }

  detail::SharedMemory memory_;
  std::size_t size_ = 0;
};

namespace detail {

template <class T>
inline constexpr bool kTravelsAsBlock<SharedArray<T>> = true;

/// How an array that a task returns passes to the owner: `send` in the worker, `receive` in the owner.
template <class T>
struct ArrayResult<SharedArray<T>> {
  template <class Context>
  static void send(Context& context, SharedArray<T>& array) {
    const std::size_t bytes = array.size() * sizeof(T);
    if (bytes == 0) return;
    if (context.give(array.memory_, bytes)) array.memory_ = {};
    else std::memcpy(context.result(bytes), array.data(), bytes);  // some other process's memory
  }
  /// Of `block`, or if it has no data a copy of `bytes`.
  static SharedArray<T> receive(const SharedMemory& block, std::span<const std::byte> bytes) {
    const std::size_t length = block.data != nullptr ? block.bytes : bytes.size();
    SharedArray<T> array;
    if (length % sizeof(T) != 0) {
      if (block.data != nullptr) free_shared(block);
      throw CodecError("damaged result: " + std::to_string(length) + " bytes are no whole number of elements");
    }
    if (block.data != nullptr) {
      array.memory_ = block;
      array.size_ = length / sizeof(T);
    } else if (length != 0) {
      array = SharedArray<T>(typename SharedArray<T>::Unset{}, length / sizeof(T));
      std::memcpy(array.data(), bytes.data(), length);
    }
    return array;
  }
};

}  // namespace detail
}  // namespace retinue
