// Arrays of several dimensions in memory that the owner and all its workers see.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <array>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <ranges>
#include <stdexcept>
#include <string>
#include <type_traits>

#include <retinue/detail/codec/reach.hpp>
#include <retinue/detail/memory/extents.hpp>

namespace retinue {

template <class T>
class SharedSpan;

/// A SharedArray, or a part of one, seen as an array of `Rank` dimensions. Like SharedSpan it is a trivially
/// copyable handle, good in the owner and in every worker as long as the array lives: pass it to tasks, capture
/// it in lambdas, map over its rows. It is an address, and for each dimension an extent (how many indices) and a
/// stride (how many elements from one index to the next, also negative); so a row, a column, a block or the
/// transpose is another view of the same elements, and none is ever copied.
///
/// Indices count from 0. `()` and `[]` do not check them; `at` and all that makes another view do. Any thread of any
/// process may use a view; who writes to which elements at the same time is for the tasks to agree.
///
///     retinue::SharedArray<double> memory(1000 * 1000);
///     auto grid = memory.view(1000, 1000);                        // rows one after the other
///     pool.for_each([](retinue::SharedView<double, 1> row) {
///       for (double& x : row) x = simulate();
///     }, grid);
///     double corner = grid(999, 999);
///     auto inner = grid.slice(0, 1, 999).slice(1, 1, 999);        // all but the border
///     auto column = grid.transposed()[17];
template <class T, std::size_t Rank>
class SharedView {
  static_assert(Rank > 0, "a SharedView has at least one dimension");

 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using Shape = detail::Extents<Rank>;
  using Strides = detail::Strides<Rank>;
  /// What is left when one index is chosen: a view with one dimension less, or an element.
  using Row = std::conditional_t<Rank == 1, T&, SharedView<T, Rank - 1>>;
  class iterator;

  /// Empty: all extents are 0.
  SharedView() = default;
  /// All of `span`, row by row: the elements of the last dimension lie side by side. Throws
  /// std::invalid_argument unless the product of the extents is the span's size.
  SharedView(SharedSpan<T> span, const Shape& extents)
      : SharedView(address_of(span.data()), extents, detail::row_by_row(extents)) {
    if (detail::product_of(extents) != span.size())
      throw std::invalid_argument("a SharedView of shape " + detail::list_of(extents) + " is not one of " +
                                  std::to_string(span.size()) + " elements");
  }
  /// Of a part of `span`: `first` is where the element lies whose indices are all 0, strides are in elements.
  /// Throws std::out_of_range if any element would lie outside of the span, std::invalid_argument if there are
  /// more elements than can be counted (with strides of 0 that is possible).
  SharedView(SharedSpan<T> span, const Shape& extents, const Strides& strides, std::size_t first = 0)
      : SharedView(address_of(span.data()) + first * sizeof(T), extents, strides) {
    if (!detail::lie_within(span.size(), first, extents, strides))
      throw std::out_of_range("a SharedView of shape " + detail::list_of(extents) + " and strides " +
                              detail::list_of(strides) + " from element " + std::to_string(first) +
                              " reaches beyond its " + std::to_string(span.size()) + " elements");
    if (!detail::product_of(extents))
      throw std::invalid_argument("a SharedView of shape " + detail::list_of(extents) + " has too many elements");
  }
  /// A view for reading of a view for writing.
  template <class U>
    requires std::is_same_v<const U, T>
  SharedView(const SharedView<U, Rank>& other) noexcept
      : SharedView(address_of(other.data()), other.shape(), other.strides()) {}

  static constexpr std::size_t rank() noexcept { return Rank; }
  std::size_t extent(std::size_t dimension) const noexcept { return extents_[dimension]; }
  /// In elements, not in bytes.
  std::ptrdiff_t stride(std::size_t dimension) const noexcept { return strides_[dimension]; }
  const Shape& shape() const noexcept { return extents_; }
  const Strides& strides() const noexcept { return strides_; }
  /// The number of elements: the product of the extents.
  std::size_t size() const noexcept {
    std::size_t product = 1;
    for (const std::size_t extent : extents_) product *= extent;
    return product;
  }
  bool empty() const noexcept { return size() == 0; }
  /// The element whose indices are all 0.
  T* data() const noexcept { return reinterpret_cast<T*>(address_); }

  /// The element with these indices, as many as there are dimensions.
  template <std::integral... Index>
    requires(sizeof...(Index) == Rank)
  T& operator()(Index... indices) const noexcept {
    std::ptrdiff_t offset = 0;
    std::size_t d = 0;
    ((offset += static_cast<std::ptrdiff_t>(indices) * strides_[d++]), ...);
    return data()[offset];
  }
  /// The same, checked. Throws std::out_of_range.
  template <std::integral... Index>
    requires(sizeof...(Index) == Rank)
  T& at(Index... indices) const {
    std::size_t d = 0;
    if (!((static_cast<std::size_t>(indices) < extents_[d++]) && ...)) {
      std::string text;
      ((text += (text.empty() ? "" : ", ") + std::to_string(indices)), ...);
      throw std::out_of_range("SharedView::at(" + text + ") of shape " + detail::list_of(extents_));
    }
    return (*this)(indices...);
  }
  /// What lies at index `i` of the first dimension: of a matrix a row, of a row an element.
  Row operator[](std::size_t i) const noexcept { return chosen(0, i); }
  /// The same, checked. Throws std::out_of_range.
  Row row(std::size_t i) const { return pick(0, i); }
  /// What lies at index `j` of the second dimension. Throws std::out_of_range.
  Row column(std::size_t j) const
    requires(Rank > 1)
  {
    return pick(1, j);
  }
  /// What lies at index `i` of any dimension. Throws std::out_of_range.
  Row pick(std::size_t dimension, std::size_t i) const {
    if (dimension >= Rank || i >= extents_[dimension]) refuse("pick", {dimension, i});
    return chosen(dimension, i);
  }

  /// The part from `begin` up to but not including `end` of one dimension; with a step of n every n-th of these.
  /// Throws std::out_of_range, or std::invalid_argument for a step of 0.
  SharedView slice(std::size_t dimension, std::size_t begin, std::size_t end, std::size_t step = 1) const {
    if (step == 0) throw std::invalid_argument("SharedView::slice with a step of 0");
    if (dimension >= Rank || begin > end || end > extents_[dimension]) refuse("slice", {dimension, begin, end, step});
    SharedView part = moved(dimension, begin);
    part.extents_[dimension] = (end - begin) / step + ((end - begin) % step != 0 ? 1 : 0);
    part.strides_[dimension] = detail::times(strides_[dimension], step);
    return part;
  }
  /// With one dimension counted from its other end. Throws std::out_of_range.
  SharedView reversed(std::size_t dimension) const {
    if (dimension >= Rank) refuse("reversed", {dimension});
    if (extents_[dimension] == 0) return *this;
    SharedView turned = moved(dimension, extents_[dimension] - 1);
    turned.strides_[dimension] = detail::times(strides_[dimension], ~std::size_t{0});  // -1
    return turned;
  }
  /// With the dimensions in the opposite order: of a matrix, rows for columns.
  SharedView transposed() const noexcept {
    SharedView turned = *this;
    for (std::size_t d = 0; d < Rank; ++d) {
      turned.extents_[d] = extents_[Rank - 1 - d];
      turned.strides_[d] = strides_[Rank - 1 - d];
    }
    return turned;
  }
  /// With the dimensions in another order: dimension d of the result is `order[d]` of this one. Throws
  /// std::invalid_argument unless each is there once.
  SharedView permuted(const std::array<std::size_t, Rank>& order) const {
    std::array<bool, Rank> seen{};
    SharedView turned = *this;
    for (std::size_t d = 0; d < Rank; ++d) {
      if (order[d] >= Rank || seen[order[d]])
        throw std::invalid_argument("SharedView::permuted" + detail::list_of(order) + ": not an order of " +
                                    std::to_string(Rank) + " dimensions");
      seen[order[d]] = true;
      turned.extents_[d] = extents_[order[d]];
      turned.strides_[d] = strides_[order[d]];
    }
    return turned;
  }

  /// Whether the elements lie side by side in the order of their indices, the last one counting fastest.
  bool is_contiguous() const noexcept { return detail::lie_side_by_side(extents_, strides_); }
  /// All elements in one dimension. Loops over it are faster than with strides, so inner loops may want
  /// `row(i).flat()`. Throws std::logic_error unless the elements lie side by side.
  SharedSpan<T> flat() const {
    if (!is_contiguous())
      throw std::logic_error("SharedView::flat of shape " + detail::list_of(extents_) + " and strides " +
                             detail::list_of(strides_) + ": its elements do not lie side by side");
    return SharedSpan<T>(data(), size());
  }

  /// Over the first dimension: views with one dimension less, or elements. Random access.
  iterator begin() const noexcept { return iterator(*this, 0); }
  iterator end() const noexcept { return iterator(*this, static_cast<std::ptrdiff_t>(extents_[0])); }

 private:
  template <class, std::size_t>
  friend class SharedView;

  SharedView(std::uintptr_t address, const Shape& extents, const Strides& strides) noexcept
      : address_(address), extents_(extents), strides_(strides) {}
  static std::uintptr_t address_of(const volatile void* p) noexcept { return reinterpret_cast<std::uintptr_t>(p); }

  // In unsigned numbers: an empty view may start anywhere.
  std::uintptr_t address_at(std::size_t dimension, std::size_t i) const noexcept {
    return address_ + i * static_cast<std::size_t>(strides_[dimension]) * sizeof(T);
  }
  SharedView moved(std::size_t dimension, std::size_t to) const noexcept {
    return SharedView(address_at(dimension, to), extents_, strides_);
  }
  Row chosen(std::size_t dimension, std::size_t i) const noexcept {
    if constexpr (Rank == 1) {
      return *reinterpret_cast<T*>(address_at(0, i));
    } else {
      SharedView<T, Rank - 1> rest;
      rest.address_ = address_at(dimension, i);
      for (std::size_t d = 0, from = 0; d < Rank - 1; ++d, ++from) {
        if (from == dimension) ++from;
        rest.extents_[d] = extents_[from];
        rest.strides_[d] = strides_[from];
      }
      return rest;
    }
  }
  template <std::size_t n>
  [[noreturn, gnu::cold, gnu::noinline]] void refuse(const char* function, const std::size_t (&arguments)[n]) const {
    throw std::out_of_range("SharedView::" + std::string(function) + detail::list_of(std::to_array(arguments)) +
                            " of shape " + detail::list_of(extents_));
  }

  std::uintptr_t address_ = 0;  // an integer: it is meant to travel as it is
  Shape extents_{};
  Strides strides_{};
};

template <class T, std::size_t Rank>
class SharedView<T, Rank>::iterator {
 public:
  using difference_type = std::ptrdiff_t;
  using value_type = std::remove_cvref_t<Row>;
  using reference = Row;
  using pointer = void;
  using iterator_concept = std::random_access_iterator_tag;
  using iterator_category = std::conditional_t<Rank == 1, std::random_access_iterator_tag, std::input_iterator_tag>;

  iterator() = default;

  Row operator*() const noexcept { return view_[static_cast<std::size_t>(at_)]; }
  Row operator[](std::ptrdiff_t n) const noexcept { return view_[static_cast<std::size_t>(at_ + n)]; }
  iterator& operator+=(std::ptrdiff_t n) noexcept {
    at_ += n;
    return *this;
  }
  iterator& operator-=(std::ptrdiff_t n) noexcept { return *this += -n; }
  iterator& operator++() noexcept { return *this += 1; }
  iterator& operator--() noexcept { return *this -= 1; }
  iterator operator++(int) noexcept { return iterator(view_, at_++); }
  iterator operator--(int) noexcept { return iterator(view_, at_--); }
  friend iterator operator+(iterator it, std::ptrdiff_t n) noexcept { return it += n; }
  friend iterator operator+(std::ptrdiff_t n, iterator it) noexcept { return it += n; }
  friend iterator operator-(iterator it, std::ptrdiff_t n) noexcept { return it -= n; }
  friend std::ptrdiff_t operator-(const iterator& a, const iterator& b) noexcept { return a.at_ - b.at_; }
  friend bool operator==(const iterator& a, const iterator& b) noexcept { return a.at_ == b.at_; }
  friend std::strong_ordering operator<=>(const iterator& a, const iterator& b) noexcept { return a.at_ <=> b.at_; }

 private:
  friend class SharedView;
  iterator(const SharedView& view, std::ptrdiff_t at) noexcept : view_(view), at_(at) {}

  SharedView view_;
  std::ptrdiff_t at_ = 0;
};

template <class T, std::size_t Rank>
inline constexpr bool detail::names_shared_memory<SharedView<T, Rank>> = true;

}  // namespace retinue

template <class T, std::size_t Rank>
inline constexpr bool std::ranges::enable_borrowed_range<retinue::SharedView<T, Rank>> = true;
template <class T, std::size_t Rank>
inline constexpr bool std::ranges::enable_view<retinue::SharedView<T, Rank>> = true;
