// Times of the same work done twice: in this process, and through a pool.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace word_count {

/// The seconds that one call of `f` takes.
template <class F>
double seconds(F&& f) {
  const auto began = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

/// One line of the table at the end.
struct Comparison {
  std::string what;
  std::uint64_t tasks;
  double serial;  ///< seconds
  double pool;    ///< seconds
};

/// Times `serial` and `pool` in turn, several times, and keeps the median of each.
template <class Serial, class Pool>
Comparison compare(std::string what, std::uint64_t tasks, Serial&& serial, Pool&& pool) {
  std::array<double, 5> in_serial, in_pool;
  for (std::size_t i = 0; i < in_serial.size(); ++i) {
    in_serial[i] = seconds(serial);
    in_pool[i] = seconds(pool);
  }
  std::ranges::sort(in_serial);
  std::ranges::sort(in_pool);
  return {std::move(what), tasks, in_serial[in_serial.size() / 2], in_pool[in_pool.size() / 2]};
}

/// Prints the comparisons as a table: seconds, speed-up, and what one task cost in the pool.
void print(const std::vector<Comparison>& comparisons);

}  // namespace word_count
