// Inputs without an end, or that cannot all be in memory: they are read as results are taken.
#include <retinue/retinue.hpp>

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <ranges>
#include <sstream>
#include <string>

// Steps of the Collatz sequence from n down to 1.
int steps(long n) {
  int count = 0;
  for (; n != 1; ++count) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
  return count;
}

int main() {
  retinue::ProcessPool pool(2);

  // The first number that needs more than 250 steps. Nobody knows beforehand where the search ends.
  long n = 0;
  for (const int s : pool.map(steps, std::views::iota(1L))) {
    ++n;
    if (s > 250) break;  // what has not started is cancelled
  }
  std::printf("%ld is the first number with more than 250 steps\n", n);
  assert(n == 6171);

  // How far inputs are read ahead of the results follows the speed of the tasks: far for tiny ones, a few
  // for slow ones. A limit can be set where inputs are costly.
  long read = 0, taken = 0, furthest = 0;
  auto source = std::views::iota(1L) | std::views::transform([&read](long i) {
                  ++read;
                  return i;
                });
  for ([[maybe_unused]] const int s : pool.with({.look_ahead = 16}).map(steps, source)) {
    furthest = std::max(furthest, read - taken);
    if (++taken == 1000) break;
  }
  std::printf("%ld results taken, inputs never more than %ld ahead\n", taken, furthest);
  assert(furthest <= 17);

  // A stream is an input like any other; it is read in this process, by the loop.
  std::istringstream numbers("27 97 871");
  std::string answer;
  for (const int s : pool.map(steps, std::views::istream<long>(numbers))) answer += std::to_string(s) + ' ';
  std::printf("%s\n", answer.c_str());
  assert(answer == "111 118 178 ");
}
