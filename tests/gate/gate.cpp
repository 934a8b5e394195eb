// gate COUNT: a task that does next to nothing, COUNT times, for scripts/gate to count what that takes.
//
// What is counted must not hang on who is faster: the worker is held until all is submitted, then runs all of it while
// the owner waits in read(2), and only then the owner fetches the results. Prints `owner PID worker PID`.
#include <chrono>
#include <cstdio>
#include <unistd.h>
#include <vector>

#include <retinue/process_pool.hpp>

#include "command_line.hpp"

namespace {

int to_worker[2], to_owner[2];

bool wait_at(const int (&pipe)[2]) {
  char byte = 0;
  return ::read(pipe[0], &byte, 1) == 1;
}
bool pass(const int (&pipe)[2]) { return ::write(pipe[1], "x", 1) == 1; }

bool held() { return pass(to_owner) && wait_at(to_worker); }
int square(int x) { return x * x; }
bool all_done() { return pass(to_owner); }

}  // namespace

int main(int argc, char** argv) {
  int count = 0;
  retinue_command_line::CommandLine line("gate", "A task that does next to nothing, COUNT times.");
  line.add_option("COUNT", count, "of tasks")->required()->check(CLI::PositiveNumber);
  if (const auto status = line.parse_or_end(argc, argv)) return *status;
  if (::pipe(to_worker) != 0 || ::pipe(to_owner) != 0) return 1;
  retinue::ProcessPoolOptions options;
  options.workers = 1;
  options.spin = std::chrono::nanoseconds(0);
  retinue::ProcessPool pool(options);
  const pid_t worker = pool.submit(::getpid).get();

  auto first = pool.submit(held);
  if (!wait_at(to_owner)) return 1;
  std::vector<retinue::Future<int>> futures;
  futures.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) futures.push_back(pool.submit(square, i % 1000));
  auto last = pool.submit(all_done);
  if (!pass(to_worker) || !wait_at(to_owner)) return 1;
  long sum = 0, right = 0;
  for (auto& future : futures) sum += future.get();
  for (int i = 0; i < count; ++i) right += (i % 1000) * (i % 1000);
  if (!first.get() || !last.get() || sum != right) return 1;
  std::printf("owner %d worker %d\n", static_cast<int>(::getpid()), static_cast<int>(worker));
}
