// The first loop: a function of one number, run in worker processes.
#include <retinue/retinue.hpp>

#include <cassert>
#include <iostream>
#include <ranges>
#include <vector>

int square(int x) { return x * x; }

int main() {
  retinue::ProcessPool pool;  // a worker for each CPU that this process may use
  std::cout << "workers: " << pool.workers() << '\n';

  // In place of `for (int x = 1; x <= 10; ++x) total += square(x);`
  // Results come in the order of the inputs, each as soon as it and all before it are there.
  int total = 0;
  for (int s : pool.map(square, std::views::iota(1, 11))) {
    std::cout << s << ' ';
    total += s;
  }
  std::cout << "-> " << total << '\n';
  assert(total == 385);

  // All results at once, from a container.
  const std::vector<int> sides{3, 4, 5};
  const std::vector<int> areas = pool.map(square, sides).collect();
  assert((areas == std::vector{9, 16, 25}));

  // One call. The result is fetched when it is needed.
  retinue::Future<int> seven = pool.submit(square, 7);
  std::cout << "7 squared: " << seven.get() << '\n';
  assert(seven.get() == 49);

  // A lambda takes along what it captured by value.
  int offset = 100;
  assert(pool.submit([offset](int x) { return square(x) + offset; }, 5).get() == 125);

  // A loop that returns nothing: waits for all, throws the first failure.
  pool.for_each([](int x) { assert(square(x) >= 0); }, std::views::iota(-5, 5));
}
