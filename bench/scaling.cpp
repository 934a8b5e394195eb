// What a second core brings. Each figure is a ratio of two times taken one right after the other: serial by
// parallel, 2 being all there is. The functions, and so the machine code, are the same on both sides.
#include <array>
#include <cstdint>
#include <numeric>
#include <ranges>
#include <vector>

#include <retinue/process_pool.hpp>
#include <retinue/thread_pool.hpp>

#include "child_process.hpp"
#include "measure.hpp"
#include "tbb_threads.hpp"

#if RETINUE_BENCH_HAS_TBB
#include <tbb/task_group.h>
#endif

namespace {

__attribute__((noinline)) std::int64_t fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

/// `rounds` steps, each waiting for the one before: work that no compiler shortens.
__attribute__((noinline)) std::uint64_t churn(std::uint64_t rounds) {
  std::uint64_t x = rounds;
  for (std::uint64_t i = 0; i < rounds; ++i) x = x * 6364136223846793005U + (x >> 29);
  return x;
}

/// Alternates `serial` and `parallel`, which must give the same; leaves the median ratio of their times.
template <class Serial, class Parallel>
void speed_up(benchmark::State& state, Serial&& serial, Parallel&& parallel) {
  const auto right = serial();
  bench::expect(parallel() == right, "the parallel run agrees with the serial one");
  bench::Samples ratios(3), times(3);
  for (int i = 0; i < 3; ++i) {
    auto one = right, two = right;
    const double alone = bench::ns_of([&] { benchmark::DoNotOptimize(one = serial()); });
    const double shared = bench::ns_of([&] { benchmark::DoNotOptimize(two = parallel()); });
    bench::expect(one == right && two == right, "the parallel run agrees with the serial one");
    ratios.add(alone / shared);
    times.add(alone);
  }
  state.counters["speed_up_x"] = ratios.median();
  state.counters["serial_ns"] = times.median();
}

// The list of tasks: long ones first, of very different lengths.
constexpr std::array kFibs{38, 37, 36, 35, 34, 33};
std::vector<int> fibs() {
  std::vector<int> list(kFibs.begin(), kFibs.end());
  if (bench::amount(10) == 1)
    for (int& n : list) n -= 5;
  return list;
}
std::int64_t serial_fibs() {
  std::int64_t sum = 0;
  for (int n : fibs()) sum += fib(n);
  return sum;
}

template <class Pool>
void pool_fibs(benchmark::State& state) {
  Pool pool(2);
  speed_up(state, serial_fibs, [&] {
    std::int64_t sum = 0;
    for (std::int64_t f : pool.map(fib, fibs())) sum += f;
    return sum;
  });
}

constexpr std::uint64_t kMicrosecond = 700;  // rounds, roughly

/// Tasks of `kRounds` rounds that take about 80 ms in all.
template <std::uint64_t kRounds>
constexpr std::size_t kTasks = 80'000 * kMicrosecond / kRounds;

template <std::uint64_t kRounds>
std::uint64_t serial_churn() {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < kTasks<kRounds>; ++i) sum += churn(kRounds + i % 2);
  return sum;
}

template <class Pool, std::uint64_t kRounds>
void pool_churn(benchmark::State& state) {
  Pool pool(2);
  auto rounds = std::views::iota(std::size_t{0}, kTasks<kRounds>) |
                std::views::transform([](std::size_t i) { return kRounds + i % 2; });
  speed_up(state, serial_churn<kRounds>, [&] {
    std::uint64_t sum = 0;
    for (std::uint64_t x : pool.map(churn, rounds)) sum += x;
    return sum;
  });
}

RETINUE_BENCH(pool_fibs<retinue::ProcessPool>, "fib list/process_pool");
RETINUE_BENCH((pool_churn<retinue::ProcessPool, kMicrosecond>), "1 us tasks/process_pool");
RETINUE_BENCH((pool_churn<retinue::ProcessPool, 10 * kMicrosecond>), "10 us tasks/process_pool");
RETINUE_BENCH((pool_churn<retinue::ProcessPool, 100 * kMicrosecond>), "100 us tasks/process_pool");
RETINUE_BENCH((pool_churn<retinue::ProcessPool, 1'000 * kMicrosecond>), "1 ms tasks/process_pool");

RETINUE_BENCH(pool_fibs<retinue::ThreadPool>, "fib list/thread_pool");
RETINUE_BENCH((pool_churn<retinue::ThreadPool, kMicrosecond>), "1 us tasks/thread_pool");
RETINUE_BENCH((pool_churn<retinue::ThreadPool, 10 * kMicrosecond>), "10 us tasks/thread_pool");
RETINUE_BENCH((pool_churn<retinue::ThreadPool, 100 * kMicrosecond>), "100 us tasks/thread_pool");
RETINUE_BENCH((pool_churn<retinue::ThreadPool, 1'000 * kMicrosecond>), "1 ms tasks/thread_pool");

#if RETINUE_BENCH_HAS_TBB
template <class F>
auto tbb_sum(std::size_t tasks, F&& task) {
  std::vector<decltype(task(std::size_t{0}))> results(tasks);
  tbb::task_group group;
  for (std::size_t i = 0; i < tasks; ++i) group.run([&results, &task, i] { results[i] = task(i); });
  group.wait();
  return std::reduce(results.begin(), results.end());
}
void tbb_fibs(benchmark::State& state) {
  const std::vector<int> list = fibs();
  bench::with_tbb_threads(2, [&] {
    speed_up(state, serial_fibs, [&] { return tbb_sum(list.size(), [&](std::size_t i) { return fib(list[i]); }); });
  });
}
template <std::uint64_t kRounds>
void tbb_churn(benchmark::State& state) {
  bench::with_tbb_threads(2, [&] {
    speed_up(state, serial_churn<kRounds>,
             [] { return tbb_sum(kTasks<kRounds>, [](std::size_t i) { return churn(kRounds + i % 2); }); });
  });
}
RETINUE_BENCH(tbb_fibs, "fib list/tbb");
RETINUE_BENCH(tbb_churn<kMicrosecond>, "1 us tasks/tbb");
RETINUE_BENCH(tbb_churn<10 * kMicrosecond>, "10 us tasks/tbb");
RETINUE_BENCH(tbb_churn<100 * kMicrosecond>, "100 us tasks/tbb");
RETINUE_BENCH(tbb_churn<1'000 * kMicrosecond>, "1 ms tasks/tbb");
#endif

struct PipeWorker {
  bench::Pipe requests, answers;
  bench::Child child{[this] {
    for (std::uint64_t rounds = 0; requests.read_all(&rounds, sizeof rounds);) answers.send(churn(rounds));
  }};
};
template <std::uint64_t kRounds>
void pipe_churn(benchmark::State& state) {
  PipeWorker workers[2];
  speed_up(state, serial_churn<kRounds>, [&] {
    constexpr std::size_t kAhead = 64;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kTasks<kRounds> + kAhead; ++i) {
      if (i >= kAhead && i - kAhead < kTasks<kRounds>) sum += workers[i % 2].answers.template receive<std::uint64_t>();
      if (i < kTasks<kRounds>) workers[i % 2].requests.send(kRounds + i % 2);
    }
    return sum;
  });
}
RETINUE_BENCH(pipe_churn<kMicrosecond>, "1 us tasks/pipe");
RETINUE_BENCH(pipe_churn<10 * kMicrosecond>, "10 us tasks/pipe");
RETINUE_BENCH(pipe_churn<100 * kMicrosecond>, "100 us tasks/pipe");
RETINUE_BENCH(pipe_churn<1'000 * kMicrosecond>, "1 ms tasks/pipe");

}  // namespace
