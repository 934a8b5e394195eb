// Sorting in memory that all workers share: nothing is copied but the handle.
#include <retinue/retinue.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <random>
#include <ranges>
#include <utility>
#include <vector>

struct Merge {
  std::size_t first, middle, last;
};

int main() {
  using Clock = std::chrono::steady_clock;
  retinue::ProcessPool pool;
  retinue::SharedArray<std::uint32_t> data(1'000'000), other(data.size());
  std::mt19937 random(42);
  std::ranges::generate(data, random);
  std::vector<std::uint32_t> reference(data.begin(), data.end());

  const auto start = Clock::now();
  // A part for each worker, rounded up to a power of two ...
  std::size_t parts = 1;
  while (parts < pool.workers()) parts *= 2;
  std::vector<std::size_t> bounds;
  for (std::size_t i = 0; i <= parts; ++i) bounds.push_back(i * data.size() / parts);

  // ... is sorted where it lies. SharedSpan is a handle that is good in every process.
  const auto sort_part = [d = data.span()](std::size_t first, std::size_t last) {
    std::sort(d.begin() + first, d.begin() + last);
  };
  pool.for_each(sort_part, bounds, std::views::drop(bounds, 1));

  // Then neighbours are merged, two by two, into another array. What a task wrote is seen once its result
  // was taken.
  for (std::size_t width = 1; width < parts; width *= 2) {
    std::vector<Merge> merges;
    for (std::size_t i = 0; i < parts; i += 2 * width)
      merges.push_back({bounds[i], bounds[i + width], bounds[i + 2 * width]});
    const auto merge = [from = data.span(), to = other.span()](const Merge& m) {
      const auto middle = from.begin() + m.middle;
      std::merge(from.begin() + m.first, middle, middle, from.begin() + m.last, to.begin() + m.first);
    };
    pool.for_each(merge, merges);
    std::swap(data, other);
  }
  const auto parallel = Clock::now();
  std::ranges::sort(reference);
  const auto serial = Clock::now();

  using Ms = std::chrono::duration<double, std::milli>;
  std::printf("%zu numbers in %zu parts: %.1f ms, in one process: %.1f ms\n", data.size(), parts,
              Ms(parallel - start).count(), Ms(serial - parallel).count());
  assert(std::ranges::equal(data, reference));
}
