// How the benchmarks measure: each registered function makes its pool, warms it, takes one measurement and leaves
// the figures as counters whose last word is their unit (`_ns`, `_ms`, `_mb`, `_x`). Repetitions are Google
// Benchmark's, shuffled between all rivals of a program; scripts/bench_report.py takes the medians.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

namespace bench {

using Clock = std::chrono::steady_clock;

inline double ns_since(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

/// The time one call of `f` takes.
template <class F>
double ns_of(F&& f) {
  const auto start = Clock::now();
  std::forward<F>(f)();
  return ns_since(start);
}

/// `n`, or a tenth of it under `scripts/bench --quick`.
inline std::size_t amount(std::size_t n) {
  static const bool quick = std::getenv("RETINUE_BENCH_QUICK") != nullptr;
  return quick ? std::max<std::size_t>(1, n / 10) : n;
}

/// A benchmark that computes something wrong is no benchmark.
inline void expect(bool right, const char* what) {
  if (!right) throw std::runtime_error(std::string("wrong result: ") + what);
}

/// Times of single events, and their percentiles by nearest rank.
class Samples {
 public:
  explicit Samples(std::size_t n) { times_.reserve(n); }
  void add(double ns) { times_.push_back(ns); }

  double percentile(double p) {
    if (times_.empty()) throw std::runtime_error("nothing was measured");
    const auto rank = static_cast<std::ptrdiff_t>(p / 100 * static_cast<double>(times_.size() - 1) + 0.5);
    std::nth_element(times_.begin(), times_.begin() + rank, times_.end());
    return times_[static_cast<std::size_t>(rank)];
  }
  double median() { return percentile(50); }

  void report(benchmark::State& state) {
    state.counters["median_ns"] = median();
    state.counters["p99_ns"] = percentile(99);
  }

 private:
  std::vector<double> times_;
};

/// Runs `Body` once; an exception becomes the benchmark's error, and the others go on.
template <void (*Body)(benchmark::State&)>
void once(benchmark::State& state) {
  for (auto _ : state) {
    try {
      Body(state);
    } catch (const std::exception& e) {
      state.SkipWithError(e.what());
      break;
    }
  }
}

}  // namespace bench

/// Registers `function` as one cell of the report: `row/column`.
#define RETINUE_BENCH(function, name) BENCHMARK(bench::once<function>)->Name(name)->Iterations(1)->UseRealTime()
