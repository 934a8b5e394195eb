// Ten million tasks streamed through a pool of two: how much more memory is resident at the end than after the first
// million, over all processes of the pool (each one's private memory, and the region's once).
#include <cstdint>
#include <ranges>
#include <string>

#include <retinue/process_pool.hpp>

#include "measure.hpp"
#include "pool_processes.hpp"

namespace {

int next(int x) { return x + 1; }
std::size_t length(const std::string& s) { return s.size(); }

struct Resident {
  double private_mb = 0;  ///< of all processes
  double shared_mb = 0;   ///< shared memory, as the process that sees most of it does
};

Resident resident(const retinue::ProcessPool& pool) {
  Resident sum;
  for (const pid_t pid : bench::processes_of(pool)) {
    sum.private_mb += static_cast<double>(bench::status_of(pid, "RssAnon")) / 1024;
    sum.shared_mb = std::max(sum.shared_mb, static_cast<double>(bench::status_of(pid, "RssShmem")) / 1024);
  }
  return sum;
}

/// Walks `results`, whose sum must be `right`; looks at the memory after a tenth and at the end.
template <class Results>
void stream(benchmark::State& state, retinue::ProcessPool& pool, Results&& results, std::size_t n,
            std::uint64_t right) {
  Resident early;
  std::size_t taken = 0;
  std::uint64_t sum = 0;
  const auto start = bench::Clock::now();
  for (const auto& result : results) {
    sum += static_cast<std::uint64_t>(result);
    if (++taken == n / 10) early = resident(pool);
  }
  const double ns = bench::ns_since(start);
  const Resident late = resident(pool);
  bench::expect(taken == n && sum == right, "sum of a stream");
  state.counters["growth_mb"] = late.private_mb + late.shared_mb - early.private_mb - early.shared_mb;
  state.counters["private_mb"] = late.private_mb;
  state.counters["shared_mb"] = late.shared_mb;
  state.counters["per_task_ns"] = ns / static_cast<double>(n);
}

const std::size_t kTasks = bench::amount(10'000'000);
auto ints() { return std::views::iota(0, static_cast<int>(kTasks)); }
const std::uint64_t kSum = std::uint64_t{kTasks} * (kTasks + 1) / 2;

void ordered(benchmark::State& state) {
  retinue::ProcessPool pool(2);
  stream(state, pool, pool.map(next, ints()), kTasks, kSum);
}
void unordered(benchmark::State& state) {
  retinue::ProcessPool pool(2);
  stream(state, pool, pool.map_unordered(next, ints()), kTasks, kSum);
}
/// Arguments too large for a slot: each needs a block of the region.
void blocks(benchmark::State& state) {
  retinue::ProcessPool pool(2);
  const std::size_t n = kTasks / 20;
  auto texts = std::views::iota(std::size_t{0}, n) |
               std::views::transform([](std::size_t i) { return std::string(500 + i % 1000, 'x'); });
  std::uint64_t right = 0;
  for (std::size_t i = 0; i < n; ++i) right += 500 + i % 1000;
  stream(state, pool, pool.map(length, texts), n, right);
}
RETINUE_BENCH(ordered, "10 million tasks by map/process_pool");
RETINUE_BENCH(unordered, "10 million tasks by map_unordered/process_pool");
RETINUE_BENCH(blocks, "half a million strings of 0.5 to 1.5 KB by map/process_pool");

}  // namespace
