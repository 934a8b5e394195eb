// Many pools, one after the other and at once.
#include "modes.hpp"

#include <csignal>
#include <iostream>
#include <ranges>
#include <unistd.h>

#include <retinue/retinue.hpp>

namespace endurance {
namespace {

std::string twice(const std::string& s) { return s + s; }

/// Pools differ in their size, in what they do, and in how they end.
void make_use_drop(std::uint64_t i) {
  retinue::ProcessPool pool(static_cast<unsigned>(1 + i % 4));
  if (i % 5 == 0) return;  // made and dropped
  expect(pool.submit(next, 1).get() == 2, "successor");
  int sum = 0;
  for (int y : pool.map(next, std::views::iota(0, 1000))) sum += y;
  expect(sum == 500'500, "sum of a map");
  expect(pool.submit(twice, std::string(1'000'000, 'x')).get().size() == 2'000'000, "a large result");
  if (i % 5 == 2) {
    try {
      pool.submit([] { std::raise(SIGSEGV); }).get();
      expect(false, "a crash ends with WorkerDied");
    } catch (const retinue::WorkerDied& e) {
      expect(e.signal() == SIGSEGV, "WorkerDied names its signal");
    }
  }
  if (i % 5 == 3) pool.terminate();
  if (i % 5 == 4) {
    for (int k = 0; k < 100; ++k) pool.submit(next, k);  // not waited for
    pool.shutdown(true);
  }
}

bool one_after_the_other(const Options& options, std::uint64_t n) {
  Record record(options, std::to_string(n) + " pools in a row");
  const auto start = Clock::now();
  double used = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const auto begin = Clock::now();
    make_use_drop(i);
    used += seconds_since(begin);
    record.sample(std::to_string(i + 1) + " pools");
  }
  std::cout << n << " pools in a row took " << seconds_since(start) << " s, " << used / static_cast<double>(n) * 1e3
            << " ms each without looking at them\n";
  return record.judge();
}

bool all_at_once(const Options& options, std::uint64_t n) {
  Record record(options, std::to_string(n) + " pools of two at once");
  for (int round = 0; round < 8; ++round) {
    const auto start = Clock::now();
    std::vector<std::unique_ptr<retinue::ProcessPool>> pools;
    for (std::uint64_t i = 0; i < n; ++i) pools.push_back(std::make_unique<retinue::ProcessPool>(2));
    const double made = seconds_since(start);
    std::vector<retinue::Future<int>> futures;  // each keeps what its pool has open
    for (auto& pool : pools)
      for (int k = 0; k < 10; ++k) futures.push_back(pool->submit(next, k));
    for (std::size_t i = 0; i < futures.size(); ++i)
      expect(futures[i].get() == static_cast<int>(i % 10) + 1, "successor, of one pool among many");
    const Usage full = usage_of(::getpid());
    const auto end = Clock::now();
    futures.clear();
    pools.clear();
    std::cout << "round " << round + 1 << ": " << n << " pools made in " << made << " s, dropped in "
              << seconds_since(end) << " s; at once " << full.processes << " processes, " << full.threads
              << " threads, " << full.owner_descriptors << " descriptors of the owner, " << full.all_pss / 1024
              << " MB in all\n";
    record.sample("pools at once, when they are gone");
  }
  return record.judge();
}

}  // namespace

bool run_pools(const Options& options) {
  const std::uint64_t n = options.count != 0 ? options.count : 100;
  const bool in_a_row = one_after_the_other(options, n);
  return all_at_once(options, n) && in_a_row;
}

}  // namespace endurance
