// Very many tasks, in the ways there are to hand them in.
#include "modes.hpp"

#include <algorithm>
#include <iostream>
#include <ranges>

#include <retinue/retinue.hpp>

namespace endurance {
namespace {

/// Takes `n` results from `result(i)`, with samples on the way.
template <class F>
bool take(const Options& options, const std::string& how, std::uint64_t n, F&& result) {
  Record record(options, std::to_string(n) + " tasks by " + how);
  const std::uint64_t step = std::max<std::uint64_t>(1, n / 40);
  double used = 0;
  for (std::uint64_t i = 0; i < n;) {
    const auto begin = Clock::now();
    for (const std::uint64_t end = std::min(n, i + step); i < end; ++i)
      expect(result(i) == static_cast<int>(i) + 1, how + ", result " + std::to_string(i));
    used += seconds_since(begin);
    record.sample(how + ", " + std::to_string(i));
  }
  std::cout << n << " tasks by " << how << ": " << used << " s, " << used / static_cast<double>(n) * 1e9
            << " ns each\n";
  return record.judge();
}

}  // namespace

bool run_tasks(const Options& options) {
  const std::uint64_t n = options.count != 0 ? options.count : 10'000'000;
  const auto inputs = std::views::iota(0, static_cast<int>(n));
  bool all = true;
  {
    retinue::ProcessPool pool(options.workers);
    all &= take(options, "submit and get", std::max<std::uint64_t>(1, n / 10),
                [&](std::uint64_t i) { return pool.submit(next, static_cast<int>(i)).get(); });
  }
  {
    retinue::ProcessPool pool(options.workers);
    constexpr std::uint64_t kBatch = 20'000;  // more than there are slots, so that a part of it waits in the owner
    std::vector<retinue::Future<int>> futures;
    all &= take(options, "submit of 20,000, then get", n, [&](std::uint64_t i) {
      if (i % kBatch == 0) {
        futures.clear();
        for (std::uint64_t k = i; k < std::min(n, i + kBatch); ++k)
          futures.push_back(pool.submit(next, static_cast<int>(k)));
      }
      return futures[i % kBatch].get();
    });
  }
  {
    retinue::ProcessPool pool(options.workers);
    auto results = pool.map(next, inputs);
    auto at = results.begin();
    all &= take(options, "map", n, [&](std::uint64_t) {
      const int y = *at;
      ++at;
      return y;
    });
  }
  {
    retinue::ProcessPool pool(options.workers);
    auto results = pool.map_unordered(next, inputs);
    auto outcomes = results.outcomes();
    auto at = outcomes.begin();
    // The position of a result is checked rather than the result: they come as they are done.
    std::vector<bool> seen(n);
    all &= take(options, "map_unordered", n, [&](std::uint64_t i) {
      const auto& outcome = *at;
      expect(outcome.value() == static_cast<int>(outcome.index()) + 1 && !seen[outcome.index()], "map_unordered");
      seen[outcome.index()] = true;
      ++at;
      return static_cast<int>(i) + 1;
    });
  }
  return all;
}

}  // namespace endurance
