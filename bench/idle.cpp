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

struct Use {
  double cpu_ns = 0;
  double wake_ups = 0;
};

Use use_of(const std::vector<pid_t>& processes) {
  Use use;
  for (const pid_t pid : processes) {
    use.cpu_ns += bench::cpu_ns(pid);
    use.wake_ups += static_cast<double>(bench::status_of(pid, "voluntary_ctxt_switches"));
  }
  return use;
}

void idle_pool(benchmark::State& state) {
  retinue::ProcessPool pool(2);
  int i = 0;
  for (int x : pool.map(next, std::views::iota(0, 100'000))) bench::expect(x == ++i, "successor");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // spinning may last this long at most

  const auto processes = bench::processes_of(pool);
  const auto seconds = std::chrono::seconds(bench::amount(10) == 10 ? 10 : 2);
  const Use before = use_of(processes);
  std::this_thread::sleep_for(seconds);
  const Use after = use_of(processes);
  bench::expect(pool.submit(next, 1).get() == 2, "successor");

  // What is idle for longer also gives back the memory it kept: that is within these seconds.
  state.counters["cpu_ns"] = (after.cpu_ns - before.cpu_ns) * 10 / static_cast<double>(seconds.count());
  state.counters["wake_ups"] = (after.wake_ups - before.wake_ups) * 10 / static_cast<double>(seconds.count());
}
RETINUE_BENCH(idle_pool, "10 s idle/process_pool");

}  // namespace
