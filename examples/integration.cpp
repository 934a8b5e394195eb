// Numerical integration: a fold over a range, in the workers.
#include <retinue/retinue.hpp>

#include <cassert>
#include <cmath>
#include <cstdio>
#include <numbers>
#include <ranges>

struct Bounds {
  double least, greatest;
};

Bounds widen(const Bounds& a, const Bounds& b) {
  return {std::fmin(a.least, b.least), std::fmax(a.greatest, b.greatest)};
}

int main() {
  retinue::ProcessPool pool;
  const int strips = 1'000'000;
  const double width = 1.0 / strips;

  // The area under 4 / (1 + x * x) from 0 to 1 is pi. Workers add up runs of strips, whose length is found
  // while the program runs; the owner adds up the runs.
  const auto strip = [width](int i) {
    const double x = (i + 0.5) * width;
    return 4.0 / (1.0 + x * x) * width;
  };
  const double pi = pool.map_reduce(strip, std::views::iota(0, strips), 0.0);
  std::printf("pi = %.12f, off by %.1e\n", pi, std::abs(pi - std::numbers::pi));
  assert(std::abs(pi - std::numbers::pi) < 1e-10);

  // Any associative operation folds. Inputs are combined in order, so it need not be commutative. How they
  // are grouped varies: floating-point sums may differ in their last digits from run to run.
  const auto point = [](int i) {
    const double y = std::sin(i * 1e-3) * std::exp(-i * 1e-4);
    return Bounds{y, y};
  };
  const Bounds bounds = pool.map_reduce(point, std::views::iota(0, 100'000), Bounds{0, 0}, widen);
  std::printf("a damped wave stays between %.4f and %.4f\n", bounds.least, bounds.greatest);
  assert(bounds.least > -0.7 && bounds.least < -0.5 && bounds.greatest > 0.8 && bounds.greatest < 0.9);
}
