// A busy worker is killed: how long until its replacement runs a task. Beside it what a bare child needs to be killed,
// reaped and forked again, and to report itself.
#include <chrono>
#include <csignal>
#include <optional>
#include <thread>
#include <unistd.h>

#include <retinue/process_pool.hpp>

#include "child_process.hpp"
#include "measure.hpp"

namespace {

pid_t who(int) { return ::getpid(); }
int busy(int fd) {
  const pid_t here = ::getpid();
  if (::write(fd, &here, sizeof here) != sizeof here) return -1;
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

/// One worker, so that only its replacement can run the next task.
void pool_recovers(benchmark::State& state) {
  const bench::Pipe started;
  retinue::ProcessPool pool(1);
  const std::size_t n = bench::amount(100);
  bench::Samples samples(n);
  for (std::size_t i = 0; i < n; ++i) {
    auto doomed = pool.submit(busy, started.in());
    const auto victim = started.receive<pid_t>();
    auto after = pool.submit(who, 0);
    pid_t survivor = 0;
    samples.add(bench::ns_of([&] {
      ::kill(victim, SIGKILL);
      survivor = after.get();
    }));
    bench::expect(survivor != victim, "another process ran the next task");
    try {
      doomed.get();
      bench::expect(false, "the killed worker's task ends with WorkerDied");
    } catch (const retinue::WorkerDied& e) {
      bench::expect(e.signal() == SIGKILL, "WorkerDied names SIGKILL");
    }
  }
  samples.report(state);
}
RETINUE_BENCH(pool_recovers, "killed worker replaced/process_pool");

void bare_child(benchmark::State& state) {
  const bench::Pipe answers;
  const auto worker = [&answers] {
    answers.send(::getpid());
    ::pause();
  };
  const std::size_t n = bench::amount(100);
  bench::Samples samples(n);
  std::optional<bench::Child> child(std::in_place, worker);
  answers.receive<pid_t>();
  for (std::size_t i = 0; i < n; ++i) {
    pid_t survivor = 0;
    samples.add(bench::ns_of([&] {
      child.emplace(worker);  // kills and reaps the one before
      survivor = answers.receive<pid_t>();
    }));
    bench::expect(survivor == child->pid(), "the new child answered");
  }
  samples.report(state);
}
RETINUE_BENCH(bare_child, "killed worker replaced/fork");

}  // namespace
