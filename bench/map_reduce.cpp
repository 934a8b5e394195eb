// Ten million ints folded into one number, in one expression: squares of a vector's elements summed (an addition and
// a multiplication each: bound by memory), the same of a SharedArray, and the same with the function given by its name,
// which is a pointer, so that each element is a call; and steps to 1 in the Collatz sequence (a few hundred nanoseconds
// each).
#include <cstdint>
#include <functional>
#include <numeric>
#include <ranges>
#include <vector>

#include <retinue/process_pool.hpp>
#include <retinue/thread_pool.hpp>

#include "measure.hpp"
#include "tbb_threads.hpp"

#if RETINUE_BENCH_HAS_TBB
#include <tbb/blocked_range.h>
#include <tbb/parallel_reduce.h>
#endif

namespace {

/// A type of its own, which compilers see through.
constexpr auto square = [](int x) { return std::int64_t{x} * x; };
std::int64_t square_by_name(int x) { return std::int64_t{x} * x; }

std::int64_t steps(int x) {
  std::int64_t n = 0;
  for (auto y = static_cast<std::uint64_t>(x) + 1; y != 1; ++n) y = y % 2 == 0 ? y / 2 : 3 * y + 1;
  return n;
}

/// 0, 1, ..., 999, 0, 1, ...
const std::vector<int>& numbers() {
  static const std::vector<int> all = [] {
    std::vector<int> v(10'000'000);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<int>(i % 1000);
    return v;
  }();
  return all;
}
constexpr std::int64_t kSumOfSquares = std::int64_t{10'000} * 332'833'500;

/// The same in memory that workers see.
retinue::SharedArray<int>& shared_numbers() {
  static retinue::SharedArray<int> all(numbers());
  return all;
}

auto starts() { return std::views::iota(0, static_cast<int>(bench::amount(1'000'000))); }
std::int64_t serial_steps() {
  std::int64_t sum = 0;
  for (int x : starts()) sum += steps(x);
  return sum;
}
std::int64_t right_steps() {
  static const std::int64_t sum = serial_steps();
  return sum;
}

/// The median of five measurements after one for warming up.
template <class F>
void measure(benchmark::State& state, std::int64_t right, F&& f) {
  bench::expect(f() == right, "sum");
  bench::Samples samples(5);
  for (int i = 0; i < 5; ++i) {
    std::int64_t sum = 0;
    samples.add(bench::ns_of([&] { benchmark::DoNotOptimize(sum = f()); }));
    bench::expect(sum == right, "sum");
  }
  state.counters["median_ns"] = samples.median();
}

template <class Pool>
void pool_squares(benchmark::State& state) {
  numbers();
  Pool pool(2);
  measure(state, kSumOfSquares, [&] { return pool.map_reduce(square, numbers(), std::int64_t{0}); });
}
template <class Pool>
void pool_shared_squares(benchmark::State& state) {
  shared_numbers();
  Pool pool(2);
  measure(state, kSumOfSquares, [&] { return pool.map_reduce(square, shared_numbers(), std::int64_t{0}); });
}
template <class Pool>
void pool_squares_by_name(benchmark::State& state) {
  numbers();
  Pool pool(2);
  measure(state, kSumOfSquares, [&] { return pool.map_reduce(square_by_name, numbers(), std::int64_t{0}); });
}
template <class Pool>
void pool_steps(benchmark::State& state) {
  Pool pool(2);
  measure(state, right_steps(), [&] { return pool.map_reduce(steps, starts(), std::int64_t{0}); });
}

RETINUE_BENCH(pool_squares<retinue::ProcessPool>, "squares/process_pool");
RETINUE_BENCH(pool_shared_squares<retinue::ProcessPool>, "squares of a SharedArray/process_pool");
RETINUE_BENCH(pool_squares_by_name<retinue::ProcessPool>, "squares by name/process_pool");
RETINUE_BENCH(pool_steps<retinue::ProcessPool>, "collatz/process_pool");
RETINUE_BENCH(pool_squares<retinue::ThreadPool>, "squares/thread_pool");
RETINUE_BENCH(pool_shared_squares<retinue::ThreadPool>, "squares of a SharedArray/thread_pool");
RETINUE_BENCH(pool_squares_by_name<retinue::ThreadPool>, "squares by name/thread_pool");
RETINUE_BENCH(pool_steps<retinue::ThreadPool>, "collatz/thread_pool");

#if RETINUE_BENCH_HAS_TBB
template <class Sum>
std::int64_t tbb_sum(int first, int last, Sum&& sum) {
  return tbb::parallel_reduce(
      tbb::blocked_range<int>(first, last), std::int64_t{0},
      [&](const tbb::blocked_range<int>& part, std::int64_t start) { return start + sum(part.begin(), part.end()); },
      std::plus<>());
}
template <class Numbers>
void tbb_squares(benchmark::State& state, const Numbers& all) {
  bench::with_tbb_threads(2, [&] {
    measure(state, kSumOfSquares, [&] {
      return tbb_sum(0, static_cast<int>(all.size()), [&](int first, int last) {
        return std::transform_reduce(all.begin() + first, all.begin() + last, std::int64_t{0}, std::plus<>(), square);
      });
    });
  });
}
void tbb_steps(benchmark::State& state) {
  bench::with_tbb_threads(2, [&] {
    measure(state, right_steps(), [&] {
      return tbb_sum(0, static_cast<int>(starts().size()), [](int first, int last) {
        std::int64_t sum = 0;
        for (int x = first; x < last; ++x) sum += steps(x);
        return sum;
      });
    });
  });
}
void tbb_vector_squares(benchmark::State& state) { tbb_squares(state, numbers()); }
void tbb_shared_squares(benchmark::State& state) { tbb_squares(state, shared_numbers()); }
RETINUE_BENCH(tbb_vector_squares, "squares/tbb");
RETINUE_BENCH(tbb_shared_squares, "squares of a SharedArray/tbb");
RETINUE_BENCH(tbb_steps, "collatz/tbb");
#endif

template <class Numbers>
void serial_squares(benchmark::State& state, const Numbers& all) {
  measure(state, kSumOfSquares,
          [&] { return std::transform_reduce(all.begin(), all.end(), std::int64_t{0}, std::plus<>(), square); });
}
void serial_collatz(benchmark::State& state) {
  const std::int64_t right = right_steps();
  measure(state, right, serial_steps);
}
void serial_vector_squares(benchmark::State& state) { serial_squares(state, numbers()); }
void serial_shared_squares(benchmark::State& state) { serial_squares(state, shared_numbers()); }
RETINUE_BENCH(serial_vector_squares, "squares/serial");
RETINUE_BENCH(serial_shared_squares, "squares of a SharedArray/serial");
RETINUE_BENCH(serial_collatz, "collatz/serial");

}  // namespace
