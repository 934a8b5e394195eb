#include "table.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "timing.hpp"

namespace task_costs {
namespace {

using retinue_timing::duration;

constexpr double kNoisy = 1.5;  ///< the highest by the lowest, from which on both are shown

std::string times_as_long(double ratio) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%.*f times as long", ratio < 10 ? 2 : 0, ratio);
  return text.data();
}

double middle_of(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// `ours` is what Retinue takes, or 0 in its own line.
void print(const Way& way, const std::vector<double>& seconds, double ours) {
  const double middle = middle_of(seconds);
  std::string line = duration(middle);
  if (way.is_work) line += "  the work itself";
  if (!way.is_work && ours > 0) line += "  " + times_as_long(middle / ours);
  const auto [lowest, highest] = std::ranges::minmax(seconds);
  if (highest > kNoisy * lowest) line += "  (" + duration(lowest) + " to " + duration(highest) + ")";
  const int width = 9 + static_cast<int>(line.size() - duration(middle).size());
  std::printf("    %-46s %*s\n", way.what.c_str(), width, line.c_str());
}

}  // namespace

void measure_and_print(const Problem& problem, unsigned rounds) {
  std::vector<std::vector<double>> taken(problem.ways.size());
  for (unsigned round = 0; round < rounds; ++round)
    for (std::size_t i = 0; i < problem.ways.size(); ++i) taken[i].push_back(problem.ways[i].seconds());

  const double ours = middle_of(taken.front());
  std::printf("\n  %s\n", problem.what.c_str());
  for (std::size_t i = 0; i < problem.ways.size(); ++i) print(problem.ways[i], taken[i], i > 0 ? ours : 0);
}

}  // namespace task_costs
