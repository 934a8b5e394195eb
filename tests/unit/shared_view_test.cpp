// Views of several dimensions: which element an index names, and that they mean the same in every process.
#include "support/process_watch.hpp"

#include <algorithm>
#include <concepts>
#include <limits>
#include <numeric>
#include <ranges>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <retinue/retinue.hpp>

namespace shared_view_test {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::SharedArray;
using retinue::SharedSpan;
using retinue::SharedView;

using Matrix = SharedView<int, 2>;
using Row = SharedView<int, 1>;

static_assert(retinue::Travels<Matrix> && retinue::detail::bitwise<Matrix>);
static_assert(retinue::Travels<SharedView<const double, 3>>);
static_assert(std::is_trivially_copyable_v<Matrix> && sizeof(Matrix) == 5 * 8);
static_assert(std::ranges::random_access_range<Row> && std::ranges::random_access_range<Matrix>);
static_assert(std::ranges::view<Matrix> && std::ranges::borrowed_range<Matrix> && std::ranges::sized_range<Matrix>);
static_assert(std::same_as<std::ranges::range_reference_t<Row>, int&>);
static_assert(std::same_as<std::ranges::range_reference_t<Matrix>, Row>);
static_assert(std::convertible_to<Matrix, SharedView<const int, 2>>);
static_assert(!std::convertible_to<SharedView<const int, 2>, Matrix>);
static_assert(std::same_as<decltype(std::declval<const SharedArray<int>&>().view(1, 2)), SharedView<const int, 2>>);
template <class V, class... I>
concept TakesIndices = requires(V v, I... i) { v(i...); };
static_assert(TakesIndices<Matrix, int, std::size_t> && !TakesIndices<Matrix, int, double>);
static_assert(!TakesIndices<Matrix, int> && !TakesIndices<Matrix, int, int, int>);

/// 0, 1, 2, ...
SharedArray<int> counted(int n) { return SharedArray<int>(std::views::iota(0, n)); }
std::vector<int> values(const SharedView<const int, 1>& row) { return {row.begin(), row.end()}; }
using Values = std::vector<int>;

template <class E, class F>
std::string message_of(F&& f) {
  const auto e = thrown_by<E>(f);
  return e ? e->what() : "";
}

// Which element --------------------------------------------------------------------------------------

TEST(SharedView, counts_row_by_row) {
  auto array = counted(24);
  const auto v = array.view(2, 3, 4);
  static_assert(v.rank() == 3);
  EXPECT_EQ(v.shape(), (std::array<std::size_t, 3>{2, 3, 4}));
  EXPECT_EQ(v.strides(), (std::array<std::ptrdiff_t, 3>{12, 4, 1}));
  EXPECT_EQ(v.extent(1), 3u);
  EXPECT_EQ(v.stride(1), 4);
  EXPECT_EQ(v.size(), 24u);
  EXPECT_FALSE(v.empty());
  EXPECT_EQ(v.data(), array.data());
  int expected = 0;
  for (int i = 0; i < 2; ++i)
    for (unsigned j = 0; j < 3; ++j)
      for (std::size_t k = 0; k < 4; ++k, ++expected) {
        EXPECT_EQ(v(i, j, k), expected);
        EXPECT_EQ(v.at(i, j, k), expected);
        EXPECT_EQ(v[static_cast<std::size_t>(i)][j][k], expected);
      }
  v(1, 2, 3) = -1;
  EXPECT_EQ(array[23], -1);
  EXPECT_EQ(&array.span().subspan(12).view(3, 4)(0, 0), &v(1, 0, 0));
}

TEST(SharedView, must_have_the_size_of_its_span) {
  auto array = counted(12);
  EXPECT_NO_THROW(array.view(12));
  EXPECT_NO_THROW(array.view(1, 12, 1));
  EXPECT_EQ(message_of<std::invalid_argument>([&] { array.view(3, 5); }),
            "a SharedView of shape (3, 5) is not one of 12 elements");
  EXPECT_THROW(array.view(3, 0), std::invalid_argument);
  EXPECT_THROW(array.view(-3, -4), std::invalid_argument);
  EXPECT_THROW(array.span().view(11), std::invalid_argument);
  // Products that are 12 and 0 if nobody watches the overflow.
  EXPECT_THROW(array.view((std::uint64_t{1} << 62) + 3, 4), std::invalid_argument);
  EXPECT_THROW(SharedArray<int>(0).view(std::uint64_t{1} << 32, std::uint64_t{1} << 32), std::invalid_argument);
}

TEST(SharedView, at_names_the_indices_and_the_shape) {
  auto array = counted(12);
  const auto v = array.view(3, 4);
  EXPECT_EQ(message_of<std::out_of_range>([&] { v.at(3, 0); }), "SharedView::at(3, 0) of shape (3, 4)");
  EXPECT_EQ(message_of<std::out_of_range>([&] { v.at(2, 4u); }), "SharedView::at(2, 4) of shape (3, 4)");
  EXPECT_EQ(message_of<std::out_of_range>([&] { v.at(-1, 0); }), "SharedView::at(-1, 0) of shape (3, 4)");
  EXPECT_THROW(v.at(std::numeric_limits<std::size_t>::max(), 0), std::out_of_range);
  EXPECT_EQ(v.at(2, 3), 11);
}

TEST(SharedView, a_view_with_strides_must_lie_within_its_span) {
  auto array = counted(12);
  const SharedSpan<int> s = array.span();
  EXPECT_EQ(Matrix(s, {3, 2}, {4, 2})(2, 1), 10);
  EXPECT_EQ(Matrix(s, {2, 2}, {-4, -1}, 11)(1, 1), 6);
  EXPECT_EQ(Matrix(s, {3, 4}, {4, 1}).data(), array.data());
  EXPECT_EQ(Matrix(s, {1000, 12}, {0, 1})(999, 5), 5) << "a stride of 0 repeats";
  EXPECT_NO_THROW(Matrix(s, {3, 4}, {-4, 1}, 8));
  EXPECT_NO_THROW(Matrix(s, {1, 1}, {1'000'000, std::numeric_limits<std::ptrdiff_t>::min()}, 11));
  EXPECT_NO_THROW(Matrix(s, {0, 99}, {7, 7}, 12)) << "no element lies outside";
  EXPECT_EQ(message_of<std::out_of_range>([&] { Matrix(s, {3, 4}, {4, 1}, 1); }),
            "a SharedView of shape (3, 4) and strides (4, 1) from element 1 reaches beyond its 12 elements");
  EXPECT_THROW(Matrix(s, {3, 4}, {-4, 1}, 7), std::out_of_range);
  EXPECT_THROW(Matrix(s, {1, 1}, {1, 1}, 12), std::out_of_range);
  EXPECT_THROW(Matrix(s, {0, 1}, {1, 1}, 13), std::out_of_range);
  EXPECT_THROW(Matrix(SharedSpan<int>(), {1, 1}, {1, 1}), std::out_of_range);
  // Reaches that wrap round to something small.
  constexpr std::size_t huge = std::size_t{1} << 63;
  EXPECT_THROW(Matrix(s, {3, 1}, {std::numeric_limits<std::ptrdiff_t>::min(), 1}), std::out_of_range);
  EXPECT_THROW(Matrix(s, {huge + 1, 1}, {2, 1}), std::out_of_range);
  EXPECT_THROW(Matrix(s, {huge, 4}, {0, 0}), std::invalid_argument) << "more elements than can be counted";
}

TEST(SharedView, reads_what_may_not_be_written) {
  const auto array = counted(6);
  const SharedView<const int, 2> v = array.view(2, 3);
  EXPECT_EQ(v(1, 2), 5);
  auto writable = counted(6);
  const SharedView<const int, 2> w = writable.view(2, 3).transposed();
  EXPECT_EQ(w(2, 1), 5);
  EXPECT_EQ(w.shape(), (std::array<std::size_t, 2>{3, 2}));
}

// Views of views -------------------------------------------------------------------------------------

TEST(SharedView, gives_rows_columns_and_any_other_section) {
  auto array = counted(24);
  const auto v = array.view(4, 6);
  EXPECT_EQ(values(v.row(1)), (Values{6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(values(v[3]), (Values{18, 19, 20, 21, 22, 23}));
  EXPECT_EQ(values(v.column(2)), (Values{2, 8, 14, 20}));
  const auto cube = array.view(2, 3, 4);
  EXPECT_EQ(values(cube.pick(2, 3)[1]), (Values{15, 19, 23}));
  EXPECT_EQ(values(cube.column(1).row(0)), (Values{4, 5, 6, 7}));
  EXPECT_EQ(&v.row(1).row(2), &array[8]);
  EXPECT_EQ(message_of<std::out_of_range>([&] { v.row(4); }), "SharedView::pick(0, 4) of shape (4, 6)");
  EXPECT_THROW(v.column(6), std::out_of_range);
  EXPECT_THROW(v.pick(2, 0), std::out_of_range);
  EXPECT_THROW(v.row(0).row(6), std::out_of_range);
}

TEST(SharedView, slices_keep_every_nth) {
  auto array = counted(24);
  const auto v = array.view(4, 6);
  const auto block = v.slice(0, 1, 3).slice(1, 2, 5);
  EXPECT_EQ(block.shape(), (std::array<std::size_t, 2>{2, 3}));
  EXPECT_EQ(values(block[1]), (Values{14, 15, 16}));
  EXPECT_EQ(values(v.slice(1, 1, 6, 2)[0]), (Values{1, 3, 5}));
  EXPECT_EQ(values(v.slice(1, 0, 6, 4)[0]), (Values{0, 4}));
  EXPECT_EQ(values(v.slice(1, 0, 6, 100)[2]), (Values{12}));
  EXPECT_EQ(values(v.slice(1, 0, 6, std::numeric_limits<std::size_t>::max())[2]), (Values{12}));
  EXPECT_EQ(values(v.slice(0, 0, 4, 3).column(0).slice(0, 1, 2)), (Values{18}));
  EXPECT_TRUE(v.slice(0, 4, 4).empty());
  EXPECT_EQ(message_of<std::out_of_range>([&] { v.slice(1, 2, 7); }), "SharedView::slice(1, 2, 7, 1) of shape (4, 6)");
  EXPECT_THROW(v.slice(0, 3, 2), std::out_of_range);
  EXPECT_THROW(v.slice(2, 0, 0), std::out_of_range);
  EXPECT_THROW(v.slice(0, 0, 1, 0), std::invalid_argument);
}

TEST(SharedView, turns_its_dimensions_round) {
  auto array = counted(24);
  const auto v = array.view(2, 3, 4);
  EXPECT_EQ(v.transposed()(3, 2, 1), v(1, 2, 3));
  EXPECT_EQ(v.permuted({2, 0, 1})(3, 1, 2), v(1, 2, 3));
  EXPECT_EQ(v.permuted({2, 0, 1}).shape(), (std::array<std::size_t, 3>{4, 2, 3}));
  EXPECT_THROW(v.permuted({0, 1, 1}), std::invalid_argument);
  EXPECT_EQ(message_of<std::invalid_argument>([&] { v.permuted({0, 1, 3}); }),
            "SharedView::permuted(0, 1, 3): not an order of 3 dimensions");
  EXPECT_EQ(values(v[0][0].reversed(0)), (Values{3, 2, 1, 0}));
  EXPECT_EQ(values(v[0].reversed(1)[1].slice(0, 1, 4, 2)), (Values{6, 4}));
  EXPECT_EQ(values(v[0][0].reversed(0).reversed(0)), (Values{0, 1, 2, 3}));
  EXPECT_EQ(v.reversed(0)(0, 1, 1), v(1, 1, 1));
  EXPECT_THROW(v.reversed(3), std::out_of_range);
}

TEST(SharedView, is_flat_where_its_elements_lie_side_by_side) {
  auto array = counted(24);
  const auto v = array.view(4, 6);
  EXPECT_TRUE(v.is_contiguous());
  EXPECT_EQ(v.flat().size(), 24u);
  EXPECT_EQ(v.slice(0, 1, 3).flat().data(), &array[6]);
  EXPECT_EQ(v.row(2).flat()[5], 17);
  EXPECT_TRUE(v.column(0).slice(0, 2, 3).is_contiguous()) << "a single element";
  EXPECT_TRUE(v.slice(0, 1, 2).transposed().is_contiguous()) << "the stride of a single index does not matter";
  EXPECT_FALSE(v.transposed().is_contiguous());
  EXPECT_FALSE(v.slice(1, 0, 5).is_contiguous());
  EXPECT_FALSE(v.row(0).reversed(0).is_contiguous());
  EXPECT_FALSE(Row(array.span(), {3}, {0}).is_contiguous());
  EXPECT_EQ(message_of<std::logic_error>([&] { v.transposed().flat(); }),
            "SharedView::flat of shape (6, 4) and strides (1, 6): its elements do not lie side by side");
}

TEST(SharedView, may_have_no_elements) {
  const Matrix nothing;
  EXPECT_TRUE(nothing.empty());
  EXPECT_EQ(nothing.begin(), nothing.end());
  EXPECT_EQ(nothing.data(), nullptr);
  SharedArray<int> none;
  for (const auto& v : {none.view(0, 5), SharedArray<int>(0).view(0, 5), none.view(0, std::uint64_t{1} << 63)}) {
    EXPECT_TRUE(v.empty());
    EXPECT_TRUE(v.is_contiguous());
    EXPECT_EQ(v.flat().size(), 0u);
    for (const Row& row : v) ADD_FAILURE() << "a row of " << row.size();
    EXPECT_THROW(v.at(0, 0), std::out_of_range);
    EXPECT_THROW(v.row(0), std::out_of_range);
    EXPECT_EQ(v.slice(1, 1, 3, 2).shape(), (std::array<std::size_t, 2>{0, 1}));
    EXPECT_TRUE(v.reversed(0).reversed(1).transposed().empty());
  }
  int rows = 0;
  for (const Row& row : none.view(5, 0)) rows += row.empty() ? 1 : 100;
  EXPECT_EQ(rows, 5);
  EXPECT_THROW(none.view(3, 0, 4).column(0), std::out_of_range);
  EXPECT_EQ(none.view(3, 0, 4).pick(2, 3).shape(), (std::array<std::size_t, 2>{3, 0}));
}

TEST(SharedView, is_a_range_for_the_algorithms) {
  auto array = counted(20);
  const auto v = array.view(4, 5);
  auto column = v.column(1);
  std::ranges::sort(column, std::greater());
  EXPECT_EQ(values(column), (Values{16, 11, 6, 1}));
  EXPECT_EQ(std::accumulate(column.begin(), column.end(), 0), 34);
  std::sort(column.begin(), column.end());
  std::ranges::fill(v.reversed(0)[0], 7);
  EXPECT_EQ(values(v[3]), (Values{7, 7, 7, 7, 7}));
  const auto sum = [](Row row) { return std::accumulate(row.begin(), row.end(), 0); };
  EXPECT_EQ(std::ranges::max(v | std::views::transform(sum)), 60);
  std::vector<int> backwards;
  for (const Row row : std::views::reverse(v)) backwards.push_back(row[0]);
  EXPECT_EQ(backwards, (Values{7, 10, 5, 0}));
  const auto it = v.begin();
  EXPECT_EQ(it[2][1], 11);
  EXPECT_EQ((2 + it - 1) - it, 1);
  EXPECT_LT(it, it + 1);
}

// In every process -----------------------------------------------------------------------------------

TEST(SharedView, tasks_write_rows_columns_and_transposed_blocks) {
  ProcessPool pool(2);
  SharedArray<int> array(8 * 6);  // made after the pool
  const auto v = array.view(8, 6);
  pool.for_each([v](std::size_t i) { std::ranges::fill(v[i], static_cast<int>(i)); }, std::views::iota(0u, 8u));
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(values(v[i]), Values(6, static_cast<int>(i)));

  pool.submit([](Row column, int x) { std::ranges::fill(column, x); }, v.column(2), 50).get();
  EXPECT_EQ(values(v.column(2)), Values(8, 50));
  EXPECT_EQ(values(v.column(1)), (Values{0, 1, 2, 3, 4, 5, 6, 7}));

  // What a task knows as rows are columns here, from the last to the first.
  const auto block = v.slice(0, 2, 6).slice(1, 3, 6).transposed().reversed(0);
  pool.submit(
          [](Matrix m) {
            for (std::size_t i = 0; i < m.extent(0); ++i)
              for (std::size_t j = 0; j < m.extent(1); ++j) m(i, j) = static_cast<int>(10 * i + j);
          },
          block)
      .get();
  for (int i = 0; i < 8; ++i)
    for (int j = 3; j < 6; ++j) EXPECT_EQ(v(i, j), i < 2 || i >= 6 ? i : 10 * (5 - j) + (i - 2)) << i << " " << j;
}

TEST(SharedView, its_rows_are_the_inputs_of_a_map) {
  ProcessPool pool(2);
  auto array = counted(300 * 7);
  const auto v = array.view(300, 7);
  const auto sum = [](SharedView<const int, 1> row) { return std::accumulate(row.begin(), row.end(), 0); };
  const std::vector<int> sums = pool.map(sum, v).collect();
  ASSERT_EQ(sums.size(), 300u);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(sums[static_cast<std::size_t>(i)], 7 * (7 * i) + 21);
  pool.for_each([](Row to, Row from) { std::ranges::copy(from, to.begin()); }, v.slice(0, 0, 150),
                v.slice(0, 150, 300).reversed(0));
  for (int i = 0; i < 150; ++i) EXPECT_EQ(v(i, 3), (299 - i) * 7 + 3);
}

TEST(SharedView, comes_back_from_a_task_as_it_went) {
  ProcessPool pool(1);
  auto array = counted(24);
  const auto v = array.view(2, 3, 4).permuted({1, 2, 0}).reversed(1);
  const auto same = pool.submit([](SharedView<int, 3> w) { return w; }, v).get();
  EXPECT_EQ(same.data(), v.data());
  EXPECT_EQ(same.shape(), v.shape());
  EXPECT_EQ(same.strides(), v.strides());
  const auto parts = [](SharedView<int, 3> w) { return std::pair(w[1][2], std::vector{w.row(0), w.row(2)}); };
  const auto [row, all] = pool.submit(parts, v).get();
  EXPECT_EQ(&row[1], &v(1, 2, 1));
  EXPECT_EQ(&all[1](3, 0), &v(2, 3, 0));
  const auto nothing = pool.submit([](Matrix m) { return m.slice(0, 0, 0); }, array.view(4, 6)).get();
  EXPECT_EQ(nothing.shape(), (std::array<std::size_t, 2>{0, 6}));
}

TEST(SharedView, out_of_range_in_a_task_is_the_tasks_exception) {
  ProcessPool pool(1);
  auto array = counted(6);
  const auto f = [v = array.view(2, 3)](int i) { return v.at(i, 0); };
  EXPECT_EQ(pool.submit(f, 1).get(), 3);
  EXPECT_EQ(message_of<std::out_of_range>([&] { pool.submit(f, 2).get(); }), "SharedView::at(2, 0) of shape (2, 3)");
}

}  // namespace shared_view_test
