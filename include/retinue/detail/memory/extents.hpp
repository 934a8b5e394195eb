// The arithmetic of arrays of several dimensions: extents are counts of indices, strides are in elements.
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <optional>
#include <string>

namespace retinue::detail {

template <std::size_t rank>
using Extents = std::array<std::size_t, rank>;
template <std::size_t rank>
using Strides = std::array<std::ptrdiff_t, rank>;

/// As in "(2, 3)".
template <class Number, std::size_t n>
std::string list_of(const std::array<Number, n>& numbers) {
  std::string text;
  for (const Number number : numbers) text += (text.empty() ? "(" : ", ") + std::to_string(number);
  return text + ")";
}

/// The number of elements; nullopt if that is more than can be counted.
template <std::size_t rank>
constexpr std::optional<std::size_t> product_of(const Extents<rank>& extents) noexcept {
  for (const std::size_t extent : extents)
    if (extent == 0) return 0;
  std::size_t product = 1;
  for (const std::size_t extent : extents) {
    if (product > (std::numeric_limits<std::size_t>::max)() / extent) return std::nullopt;
    product *= extent;
  }
  return product;
}

/// The stride of every n-th index; ~0 as n turns it round. Computed in unsigned numbers,
/// since the strides of an empty array may be anything.
constexpr std::ptrdiff_t times(std::ptrdiff_t stride, std::size_t n) noexcept {
  return static_cast<std::ptrdiff_t>(static_cast<std::size_t>(stride) * n);
}

/// The strides of elements that lie side by side, the last index counting fastest.
template <std::size_t rank>
constexpr Strides<rank> row_by_row(const Extents<rank>& extents) noexcept {
  Strides<rank> strides{};
  std::ptrdiff_t stride = 1;
  for (std::size_t d = rank; d-- > 0; stride = times(stride, extents[d])) strides[d] = stride;
  return strides;
}

/// Whether that is how they lie. The stride of a dimension with one index does not matter.
template <std::size_t rank>
constexpr bool lie_side_by_side(const Extents<rank>& extents, const Strides<rank>& strides) noexcept {
  for (const std::size_t extent : extents)
    if (extent == 0) return true;
  const Strides<rank> wanted = row_by_row(extents);
  for (std::size_t d = 0; d < rank; ++d)
    if (extents[d] != 1 && strides[d] != wanted[d]) return false;
  return true;
}

/// Whether all elements lie within `size` of them, if that with all indices 0 is the one at `first`.
template <std::size_t rank>
constexpr bool lie_within(std::size_t size, std::size_t first, const Extents<rank>& extents,
                          const Strides<rank>& strides) noexcept {
  for (const std::size_t extent : extents)
    if (extent == 0) return first <= size;
  if (first >= size) return false;
  std::size_t before = first, behind = size - 1 - first;
  for (std::size_t d = 0; d < rank; ++d) {
    const bool back = strides[d] < 0;
    const std::size_t length = static_cast<std::size_t>(back ? times(strides[d], ~std::size_t{0}) : strides[d]);
    std::size_t& room = back ? before : behind;
    if (length != 0 && extents[d] - 1 > room / length) return false;
    room -= (extents[d] - 1) * length;
  }
  return true;
}

}  // namespace retinue::detail
