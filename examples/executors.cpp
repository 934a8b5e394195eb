// One function over worker processes, over threads, and over nothing but the calling thread.
#include <retinue/retinue.hpp>

#include <cassert>
#include <cstdio>
#include <ranges>
#include <unistd.h>
#include <utility>
#include <vector>

bool is_prime(int n) {
  if (n < 2) return false;
  for (int d = 2; d * d <= n; ++d)
    if (n % d == 0) return false;
  return true;
}

// Anything with submit, map, map_reduce ... will do.
template <retinue::Executor E>
int count_primes(E& executor, int limit) {
  return executor.map_reduce(is_prime, std::views::iota(0, limit), 0);
}

template <retinue::Executor E>
bool runs_elsewhere(E& executor) {
  return executor.submit([] { return ::getpid(); }).get() != ::getpid();
}

int main() {
  retinue::ProcessPool processes(2);  // a crash costs one task; arguments and results travel
  retinue::ThreadPool threads(2);     // shared memory, shared fate
  retinue::SerialExecutor serial;     // for the debugger: each call runs here, when it is asked for

  const int found = count_primes(processes, 20'000);
  std::printf("primes below 20000: %d\n", found);
  assert(found == 2262);
  assert(count_primes(threads, 20'000) == found && count_primes(serial, 20'000) == found);
  assert(runs_elsewhere(processes) && !runs_elsewhere(threads) && !runs_elsewhere(serial));

  // Threads take what does not travel: here a reference to a vector, of which each task fills a part.
  std::vector<int> halves(100);
  threads.for_each([&halves](std::size_t i) { halves[i] = static_cast<int>(i) / 2; },
                   std::views::iota(std::size_t{0}, halves.size()));
  assert(halves[99] == 49);

  // retinue::map forks workers for one call, so that they inherit whatever the function refers to.
  const std::vector<int> table(1'000'000, 3);
  int sum = 0;
  for (const int x : retinue::map([&table](std::size_t i) { return table[i * 1000]; },
                                  std::views::iota(std::size_t{0}, std::size_t{1000})))
    sum += x;
  std::printf("sum over the inherited table: %d\n", sum);
  assert(sum == 3000);
}
