// CPU time that a pool of two uses in ten seconds in which it has nothing to do, after it has worked.
#include <chrono>
#include <ranges>
#include <thread>
#include <vector>

#include <retinue/process_pool.hpp>

#include "measure.hpp"
#include "pool_processes.hpp"

namespace {

int next(int x) { return x + 1; }

double cpu_ns_of(const std::vector<pid_t>& processes) {
  double sum = 0;
  for (const pid_t pid : processes) sum += bench::cpu_ns(pid);
  return sum;
}
double sleeps_of(const std::vector<pid_t>& processes) {
  long sum = 0;
  for (const pid_t pid : processes) sum += bench::sleeps_of(pid);
  return static_cast<double>(sum);
}

void idle_pool(benchmark::State& state) {
  retinue::ProcessPool pool(2);
  int i = 0;
  for (int x : pool.map(next, std::views::iota(0, 100'000))) bench::expect(x == ++i, "successor");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // spinning may last this long at most

  const auto processes = bench::processes_of(pool);
  const auto seconds = std::chrono::seconds(bench::amount(10) == 10 ? 10 : 3);
  // Reading /proc costs more than an idle pool does, so it lies outside of what is measured.
  const double sleeps = sleeps_of(processes);
  const double cpu = cpu_ns_of(processes);
  std::this_thread::sleep_for(seconds);
  state.counters["cpu_ns"] = cpu_ns_of(processes) - cpu;
  state.counters["wake_ups"] = sleeps_of(processes) - sleeps;
  bench::expect(pool.submit(next, 1).get() == 2, "successor");
}
RETINUE_BENCH(idle_pool, "10 s idle/process_pool");

}  // namespace
