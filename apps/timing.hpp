// How long something takes, and how the programs under apps/ say it.
#pragma once

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <utility>

namespace retinue_timing {

/// The seconds that one call of `f` takes.
template <class F>
double seconds(F&& f) {
  const auto began = std::chrono::steady_clock::now();
  std::forward<F>(f)();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

/// As "12.3 ms": three digits and the unit that suits.
inline std::string duration(double seconds) {
  struct Unit {
    double size;
    const char* name;
  };
  constexpr std::array units{Unit{1, "s"}, Unit{1e-3, "ms"}, Unit{1e-6, "us"}, Unit{1e-9, "ns"}};
  const Unit* unit = units.begin();
  while (unit + 1 != units.end() && seconds < unit->size) ++unit;
  const double value = seconds / unit->size;
  std::array<char, 32> text;
  const int digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  std::snprintf(text.data(), text.size(), "%.*f %s", digits, value, unit->name);
  return text.data();
}

}  // namespace retinue_timing
