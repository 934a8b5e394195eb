// Very many workers on few CPUs: how long it takes to have them, to use them all at once, to lose them all, to end them.
#include "modes.hpp"

#include <algorithm>
#include <csignal>
#include <iostream>
#include <unistd.h>

#include <retinue/retinue.hpp>

#include "meeting.hpp"

namespace endurance {
namespace {

/// Every worker runs a task, all at the same time. Their pids.
std::vector<pid_t> all_meet(retinue::ProcessPool& pool, int n) {
  retinue::SharedArray<Meeting> meeting(1);
  std::vector<retinue::Future<pid_t>> futures;
  for (int i = 0; i < n; ++i) futures.push_back(pool.submit(meet, meeting.span(), static_cast<std::uint32_t>(n)));
  std::vector<pid_t> pids;
  for (auto& f : futures) {
    expect(f.wait_for(120s) == retinue::FutureStatus::ready, "all workers run a task at the same time");
    pids.push_back(f.get());
  }
  std::ranges::sort(pids);
  expect(std::ranges::adjacent_find(pids) == pids.end(), "each ran one");
  return pids;
}

}  // namespace

bool run_workers(const Options& options) {
  const int n = static_cast<int>(options.count != 0 ? options.count : 1000);
  const auto report = [](const char* what, Clock::time_point since) {
    std::cout << "  " << what << ": " << seconds_since(since) << " s" << std::endl;
  };
  Record record(options, std::to_string(n) + " workers");
  for (int round = 0; round < 4; ++round) {
    std::cout << n << " workers, round " << round + 1 << '\n';
    const Usage before = usage_of(::getpid());
    auto start = Clock::now();
    retinue::ProcessPool pool(static_cast<unsigned>(n));
    report("made", start);
    start = Clock::now();
    const auto first = all_meet(pool, n);
    report("a task each, at the same time", start);
    start = Clock::now();
    expect(all_meet(pool, n) == first, "the same workers, again");
    report("once more", start);
    const Usage full = usage_of(::getpid());
    std::cout << "  memory: " << full.all_pss - before.all_pss << " KB, " << (full.all_pss - before.all_pss) / n
              << " KB a worker (Pss, all processes); descriptors of the owner: " << full.owner_descriptors << std::endl;
    start = Clock::now();
    for (const pid_t pid : first) ::kill(pid, SIGKILL);
    const auto second = all_meet(pool, n);
    report("all killed, until each replacement has run a task", start);
    std::vector<pid_t> both;
    std::ranges::set_intersection(first, second, std::back_inserter(both));
    expect(both.empty(), "all workers were replaced");
    expect(pool.stats().workers_died == static_cast<std::uint64_t>(n), "each death was counted");
    start = Clock::now();
    pool.shutdown();
    report("ended", start);
    record.sample("when they are gone");
  }
  return record.judge();
}

}  // namespace endurance
