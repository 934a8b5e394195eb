// Several inputs walked together, and constants that every call gets.
#include <retinue/retinue.hpp>

#include <cassert>
#include <cstdio>
#include <functional>
#include <ranges>
#include <string>
#include <vector>

double price(double tax, double net, int pieces) { return (1 + tax) * net * pieces; }

std::string label(const std::vector<std::string>& names, std::size_t i, double sum) {
  char text[64];
  std::snprintf(text, sizeof text, "%-8s %8.2f", names.at(i).c_str(), sum);
  return text;
}

int main() {
  retinue::ProcessPool pool(2);
  const std::vector<double> net{1.50, 0.20, 12.00, 3.25};
  const std::vector<int> pieces{4, 10, 1};

  // net and pieces are walked side by side, up to the shorter; std::bind_front puts the tax in front.
  const std::vector<double> sums = pool.map(std::bind_front(price, 0.19), net, pieces).collect();
  assert(sums.size() == 3);
  assert(sums[1] == price(0.19, 0.20, 10));

  // What std::bind_front binds must be trivially copyable. retinue::bind_front takes along anything that
  // travels: here a vector of strings, which is sent with each task (for large tables see initializer.cpp).
  const std::vector<std::string> names{"bread", "egg", "cheese"};
  const auto labelled = retinue::bind_front(label, names);
  const auto labels = pool.map(labelled, std::views::iota(std::size_t{0}), sums).collect();
  for (const std::string& line : labels) std::puts(line.c_str());
  assert(labels[2].starts_with("cheese"));

  // A lambda does as well as bind_front where it captures only plain values.
  const double factor = 0.5;
  const auto halves = pool.map([factor](double x) { return x * factor; }, sums).collect();
  assert(halves[2] == sums[2] / 2);
}
