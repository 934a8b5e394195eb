// A plate that is hot along one edge, step by step: a grid that all workers see, worked on by bands of rows.
#include <retinue/retinue.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <utility>
#include <vector>

using Grid = retinue::SharedView<double, 2>;
using Rows = retinue::SharedView<const double, 2>;

constexpr std::size_t kHeight = 500, kWidth = 1000, kSteps = 120;

// A band of rows after one more step. `old` has one row more above it and one below, which belong to its neighbours.
void step(Rows old, Grid fresh) {
  for (std::size_t y = 0; y < fresh.extent(0); ++y) {
    const auto above = old[y].flat(), here = old[y + 1].flat(), below = old[y + 2].flat();
    const auto to = fresh[y].flat();
    for (std::size_t x = 1; x + 1 < to.size(); ++x) to[x] = 0.25 * (above[x] + below[x] + here[x - 1] + here[x + 1]);
  }
}

int main() {
  using Clock = std::chrono::steady_clock;
  retinue::ProcessPool pool;
  retinue::SharedArray<double> memory(2 * kHeight * kWidth);
  const auto both = memory.view(2, kHeight, kWidth);  // the plate as it was and as it will be
  std::ranges::fill(both[0].row(0), 100.0);
  std::ranges::fill(both[1].row(0), 100.0);
  std::vector<double> reference(kHeight * kWidth);
  std::copy_n(memory.begin(), reference.size(), reference.begin());

  const auto start = Clock::now();
  Grid old = both[0], fresh = both[1];
  const std::size_t bands = 4 * pool.workers();
  for (std::size_t n = 0; n < kSteps; ++n) {
    // Bands of rows share no element that anyone writes, and what a task wrote is seen once it has ended.
    std::vector<Rows> from;
    std::vector<Grid> to;
    for (std::size_t b = 0; b < bands; ++b) {
      const std::size_t first = 1 + b * (kHeight - 2) / bands, last = 1 + (b + 1) * (kHeight - 2) / bands;
      from.push_back(old.slice(0, first - 1, last + 1));
      to.push_back(fresh.slice(0, first, last));
    }
    pool.for_each(step, from, to);
    std::swap(old, fresh);
  }
  const auto parallel = Clock::now();

  std::vector<double> next = reference;
  for (std::size_t n = 0; n < kSteps; ++n) {
    for (std::size_t at = kWidth; at < (kHeight - 1) * kWidth; at += kWidth)
      for (std::size_t i = at + 1; i + 1 < at + kWidth; ++i)
        next[i] = 0.25 * (reference[i - kWidth] + reference[i + kWidth] + reference[i - 1] + reference[i + 1]);
    std::swap(reference, next);
  }
  const auto serial = Clock::now();

  using Ms = std::chrono::duration<double, std::milli>;
  std::printf("%zu steps of %zu x %zu points in %zu bands: %.1f ms, in one process: %.1f ms\n", kSteps, kHeight, kWidth,
              bands, Ms(parallel - start).count(), Ms(serial - parallel).count());
  for (std::size_t y = 1; y <= 32; y *= 2) std::printf("%5.1f degrees in row %zu\n", old(y, kWidth / 2), y);
  assert(std::ranges::equal(old.flat(), reference));
  assert(old.at(1, kWidth / 2) > 80.0 && old.at(kHeight - 2, 1) == 0.0);
}
