// What a task costs from C++, in a pool of processes and by what one would use otherwise.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <future>
#include <ranges>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <retinue/retinue.hpp>

#include "command_line.hpp"
#include "table.hpp"
#include "timing.hpp"

namespace {

using namespace task_costs;
using retinue_timing::seconds;

int tiny(int x) { return x % 1000; }

long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
constexpr std::array kFibs{35, 34, 33, 32, 31, 30};

/// In a child of its own, which sends the answer through a pipe and ends.
int by_child(int x) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const pid_t child = ::fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    const int answer = tiny(x);
    ::_exit(::write(ends[1], &answer, sizeof answer) == sizeof answer ? 0 : 1);
  }
  ::close(ends[1]);
  int answer = -1;
  while (::read(ends[0], &answer, sizeof answer) < 0 && errno == EINTR) {
  }
  ::close(ends[0]);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return answer;
}

int by_async(int x) { return std::async(std::launch::async, tiny, x).get(); }

/// As many threads at a time as would not be slower still.
std::uint64_t sum_by_async(int n) {
  constexpr int kAtOnce = 64;
  std::uint64_t sum = 0;
  std::vector<std::future<int>> futures;
  for (int first = 0; first < n; first += kAtOnce) {
    futures.clear();
    for (int i = first; i < std::min(n, first + kAtOnce); ++i)
      futures.push_back(std::async(std::launch::async, tiny, i));
    for (auto& future : futures) sum += static_cast<std::uint64_t>(future.get());
  }
  return sum;
}

/// The seconds a task that `sum(n)` takes, which must give what n tiny tasks add up to.
template <class Sum>
auto of_tiny(int n, Sum sum) {
  std::uint64_t right = 0;
  for (int i = 0; i < n; ++i) right += static_cast<std::uint64_t>(tiny(i));
  return [n, sum, right] {
    std::uint64_t found = 0;
    const double taken = seconds([&] { found = sum(n); });
    if (found != right) throw std::runtime_error("a wrong sum of tiny tasks");
    return taken / n;
  };
}

/// One after the other: `answer(i)` for each.
template <class Answer>
auto one_by_one(int n, Answer answer) {
  return of_tiny(n, [answer](int count) {
    std::uint64_t sum = 0;
    for (int i = 0; i < count; ++i) sum += static_cast<std::uint64_t>(answer(i));
    return sum;
  });
}

/// The seconds that all of the fibs take.
template <class Sum>
auto of_fibs(Sum sum) {
  return [sum] {
    long found = 0;
    const double taken = seconds([&] { found = sum(); });
    constexpr long kRight = 9'227'465 + 5'702'887 + 3'524'578 + 2'178'309 + 1'346'269 + 832'040;
    if (found != kRight) throw std::runtime_error("a wrong sum of fibs");
    return taken;
  };
}

long serial_fibs() {
  long sum = 0;
  for (const int n : kFibs) sum += fib(n);
  return sum;
}
long async_fibs() {
  std::vector<std::future<long>> futures;
  for (const int n : kFibs) futures.push_back(std::async(std::launch::async, fib, n));
  long sum = 0;
  for (auto& future : futures) sum += future.get();
  return sum;
}

void run(unsigned rounds) {
  retinue::ProcessPool pool;
  int (*volatile unseen)(int) = tiny;  // else the compiler works the sum out

  std::printf("What a task costs from C++, by %u workers: the middle of %u rounds, in which every line has its turn\n",
              pool.workers(), rounds);
  measure_and_print({"a number to a function and back, many at a time: each",
                     {{"ProcessPool::map", of_tiny(300'000,
                                                   [&](int n) {
                                                     std::uint64_t sum = 0;
                                                     for (const int answer : pool.map(tiny, std::views::iota(0, n)))
                                                       sum += static_cast<std::uint64_t>(answer);
                                                     return sum;
                                                   })},
                      {"std::async, 64 threads at a time", of_tiny(1'000, sum_by_async)},
                      {"fork, a pipe, wait", one_by_one(100, by_child)},
                      {"a plain call in this process", one_by_one(3'000'000, [&](int i) { return unseen(i); }), true}}},
                    rounds);
  measure_and_print(
      {"the same, waiting for each answer before the next: each",
       {{"ProcessPool::submit(...).get()", one_by_one(20'000, [&](int i) { return pool.submit(tiny, i).get(); })},
        {"std::async(...).get()", one_by_one(500, by_async)},
        {"fork, a pipe, wait", one_by_one(100, by_child)}}},
      rounds);
  measure_and_print({"six long tasks (fib of 35 down to 30): all of them",
                     {{"ProcessPool::map", of_fibs([&] {
                         long sum = 0;
                         for (const long f : pool.map(fib, kFibs)) sum += f;
                         return sum;
                       })},
                      {"std::async, a thread each", of_fibs(async_fibs)},
                      {"one after the other", of_fibs(serial_fibs)}}},
                    rounds);
}

}  // namespace

int main(int argc, char** argv) {
  unsigned rounds = 5;
  retinue_command_line::CommandLine line(
      "task_costs",
      "Measures what a task costs in a pool of worker processes, and by what one would use otherwise. Takes a few\n"
      "seconds; wants a machine with nothing else to do. Where rounds are far apart, the lowest and the highest are "
      "shown.");
  line.add_option("--rounds", rounds, "how often every line is measured, by default 5")
      ->check(retinue_command_line::whole_number)
      ->check(CLI::Range(1U, 1000U));
  line.set_version_flag("--version", "task_costs " + std::string(retinue::version()), "prints the version and ends");
  line.footer("Exit status: 0, 1 if something computed a wrong sum or failed, 2 if the command line is wrong.");
  if (const auto status = line.parse_or_end(argc, argv)) return *status;

  try {
    run(rounds);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "task_costs: %s\n", e.what());
    return 1;
  }
}
