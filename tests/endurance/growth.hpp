// Samples of usage over a long run, and whether it grows.
//
// It grows if the mean of the last quarter of the samples is above the mean of the second quarter by more than is allowed,
// and by more than three standard errors of that difference, so that what goes up and down is not taken for what goes up.
// The first quarter is warm-up: heaps find their size, files with symbols are read.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "usage.hpp"

namespace endurance {

/// How much more the last quarter may be than the second. Counts may not grow at all; a mean of whole numbers that does
/// not grow by one in a half of the run grows by less than this.
struct Allowed {
  double kilobytes = 1024;
  double count = 0.5;

  double of(const Metric& metric) const { return metric.kilobytes ? kilobytes : count; }
};

struct Growth {
  double before = 0;  ///< mean of the second quarter
  double after = 0;   ///< mean of the last
  double error = 0;   ///< standard error of the difference

  double growth() const { return after - before; }
  bool is_beyond(double allowed) const { return growth() > allowed && growth() > 3 * error; }
};

inline Growth growth_of(const std::vector<Usage>& samples, const Metric& metric) {
  struct Quarter {
    double mean, square_of_error;
  };
  const auto quarter = [&](std::size_t from, std::size_t to) {
    const auto n = static_cast<double>(to - from);
    double sum = 0, squares = 0;
    for (std::size_t i = from; i < to; ++i) sum += static_cast<double>(samples[i].*metric.value);
    for (std::size_t i = from; i < to; ++i)
      squares += std::pow(static_cast<double>(samples[i].*metric.value) - sum / n, 2);
    return Quarter{sum / n, n > 1 ? squares / (n - 1) / n : 0};
  };
  const std::size_t n = samples.size();
  const Quarter second = quarter(n / 4, n / 2), last = quarter(n - n / 4, n);
  return {second.mean, last.mean, std::sqrt(second.square_of_error + last.square_of_error)};
}

inline constexpr std::size_t kMinSamples = 4;

/// What grows by more than is allowed, in words; empty if nothing does.
inline std::string what_grows(const std::vector<Usage>& samples, const Allowed& allowed) {
  if (samples.size() < kMinSamples) return "too few samples to tell";
  std::string text;
  for (const Metric& metric : kMetrics) {
    const Growth growth = growth_of(samples, metric);
    if (!growth.is_beyond(allowed.of(metric))) continue;
    text += std::string(text.empty() ? "" : "; ") + metric.name + ": " + std::to_string(growth.before) + " -> " +
            std::to_string(growth.after) + (metric.kilobytes ? " KB" : "");
  }
  return text;
}

}  // namespace endurance
