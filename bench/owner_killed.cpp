// SIGKILL for the owner of a pool: how long until nothing is left of it, no worker and no fork server, not even as a
// zombie. Beside it the same number of bare children that die with their parent, which is what the kernel needs.
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <retinue/process_pool.hpp>

#include "child_process.hpp"
#include "measure.hpp"

namespace {

/// Waits until all are there, because those that compute already would hold up the others, and then computes.
[[noreturn]] void busy(int here, int gate) {
  char byte = 'h';
  if (::write(here, &byte, 1) != 1 || ::read(gate, &byte, 1) != 1) ::_exit(1);
  for (volatile unsigned long i = 0;;) i = i + 1;
}
int next(int x) { return x + 1; }

void open_gate(unsigned workers, const bench::Pipe& started, const bench::Pipe& gate) {
  for (unsigned i = 0; i < workers; ++i) started.receive<char>();
  for (unsigned i = 0; i < workers; ++i) gate.send('g');
}

/// Kills owners, each a process that `owner` is run in until it has written a byte, and times their ends.
template <class F>
void kill_owners(benchmark::State& state, std::size_t n, F&& owner) {
  // Orphans become children of this process, which thereby learns of the last one's end.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  bench::Samples samples(n);
  double longest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const bench::Pipe ready;
    const pid_t pid = ::fork();
    if (pid < 0) bench::call_failed("fork");
    if (pid == 0) {
      owner(ready);
      for (;;) ::pause();
    }
    ready.receive<char>();
    const double ns = bench::ns_of([&] {
      ::kill(pid, SIGKILL);
      while (::waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
      }
    });
    bench::expect(errno == ECHILD, "nothing is left");
    samples.add(ns);
    longest = std::max(longest, ns);
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  samples.report(state);
  state.counters["longest_ns"] = longest;
}

constexpr std::size_t kKills = 100;

template <unsigned kWorkers>
void idle_pool(benchmark::State& state) {
  kill_owners(state, bench::amount(kKills), [](const bench::Pipe& ready) {
    auto* pool = new retinue::ProcessPool(kWorkers);  // killed with its owner
    if (pool->submit(next, 1).get() == 2) ready.send('r');
  });
}

/// Every worker computes when the owner is killed.
template <unsigned kWorkers>
void busy_pool(benchmark::State& state) {
  kill_owners(state, bench::amount(kKills), [](const bench::Pipe& ready) {
    const bench::Pipe started, gate;
    auto* pool = new retinue::ProcessPool(kWorkers);
    for (unsigned i = 0; i < kWorkers; ++i) pool->submit(busy, started.in(), gate.out());
    open_gate(kWorkers, started, gate);
    ready.send('r');
    for (;;) ::pause();
  });
}

template <unsigned kWorkers, bool kBusy>
void bare_children(benchmark::State& state) {
  kill_owners(state, bench::amount(kKills), [](const bench::Pipe& ready) {
    const bench::Pipe started, gate;
    for (unsigned i = 0; i < kWorkers; ++i) {
      if (::fork() != 0) continue;
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (kBusy) busy(started.in(), gate.out());
      started.send('h');
      for (;;) ::pause();
    }
    open_gate(kWorkers, started, gate);
    ready.send('r');
    for (;;) ::pause();
  });
}

RETINUE_BENCH((idle_pool<2>), "2 workers, idle/process_pool");
RETINUE_BENCH((busy_pool<2>), "2 workers, busy/process_pool");
RETINUE_BENCH((idle_pool<64>), "64 workers, idle/process_pool");
RETINUE_BENCH((busy_pool<64>), "64 workers, busy/process_pool");
RETINUE_BENCH((bare_children<2, false>), "2 workers, idle/fork");
RETINUE_BENCH((bare_children<2, true>), "2 workers, busy/fork");
RETINUE_BENCH((bare_children<64, false>), "64 workers, idle/fork");
RETINUE_BENCH((bare_children<64, true>), "64 workers, busy/fork");

}  // namespace
