#include "measure.hpp"

#include <cstdio>

namespace word_count {
namespace {

/// As "12.3 ms": three digits and the unit that suits.
std::string duration(double seconds) {
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

}  // namespace

void print(const std::vector<Comparison>& comparisons) {
  std::printf("%-24s %10s %10s %10s %9s %12s\n", "", "tasks", "serial", "pool", "speed-up", "per task");
  for (const Comparison& c : comparisons) {
    std::printf("%-24s %10ju %10s %10s %8.2fx %12s\n", c.what.c_str(), std::uintmax_t{c.tasks},
                duration(c.serial).c_str(), duration(c.pool).c_str(), c.serial / c.pool,
                duration(c.pool / static_cast<double>(c.tasks)).c_str());
  }
}

}  // namespace word_count
