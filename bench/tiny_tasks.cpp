// What a task costs that does nothing to speak of: one multiplication a task, no chunks, as many tasks under way as
// each engine likes. Nanoseconds a task, from the first submit to the last result.
#include <cstdint>
#include <future>
#include <numeric>
#include <ranges>
#include <vector>

#include <retinue/process_pool.hpp>
#include <retinue/thread_pool.hpp>

#include "child_process.hpp"
#include "measure.hpp"
#include "spinning_partner.hpp"
#include "tbb_threads.hpp"

#if RETINUE_BENCH_HAS_TBB
#include <tbb/task_group.h>
#endif

namespace {

int square(int x) { return static_cast<int>(static_cast<unsigned>(x) * static_cast<unsigned>(x)); }

/// The sum that `n` results must have.
std::int64_t sum_of_squares(std::size_t n) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < n; ++i) sum += square(static_cast<int>(i));
  return sum;
}

/// Measures `f(n)`, which gives the sum of n squares, after a warm-up.
template <class F>
void per_task(benchmark::State& state, std::size_t n, F&& f) {
  const std::size_t warm_up = n / 5 + 1;
  bench::expect(f(warm_up) == sum_of_squares(warm_up), "sum of squares");
  const std::int64_t right = sum_of_squares(n);
  std::int64_t sum = 0;
  const double ns = bench::ns_of([&] { sum = f(n); });
  bench::expect(sum == right, "sum of squares");
  state.counters["per_task_ns"] = ns / static_cast<double>(n);
}

auto ints(std::size_t n) { return std::views::iota(0, static_cast<int>(n)); }

template <class Pool>
void map(benchmark::State& state, Pool& pool, std::size_t n) {
  per_task(state, n, [&](std::size_t tasks) {
    std::int64_t sum = 0;
    for (int s : pool.map(square, ints(tasks))) sum += s;
    return sum;
  });
}

template <class Pool>
void map_unordered(benchmark::State& state, Pool& pool, std::size_t n) {
  per_task(state, n, [&](std::size_t tasks) {
    std::int64_t sum = 0;
    for (int s : pool.map_unordered(square, ints(tasks))) sum += s;
    return sum;
  });
}

template <class Pool>
void submit(benchmark::State& state, Pool& pool, std::size_t n) {
  per_task(state, n, [&](std::size_t tasks) {
    std::vector<retinue::Future<int>> futures;
    futures.reserve(tasks);
    for (int i : ints(tasks)) futures.push_back(pool.submit(square, i));
    std::int64_t sum = 0;
    for (auto& future : futures) sum += future.get();
    return sum;
  });
}

const std::size_t kTasks = bench::amount(1'000'000);

template <class Pool, unsigned kWorkers>
void pool_map(benchmark::State& state) {
  Pool pool(kWorkers);
  map(state, pool, kTasks);
}
template <class Pool, unsigned kWorkers>
void pool_map_unordered(benchmark::State& state) {
  Pool pool(kWorkers);
  map_unordered(state, pool, kTasks);
}
template <class Pool, unsigned kWorkers>
void pool_submit(benchmark::State& state) {
  Pool pool(kWorkers);
  submit(state, pool, kTasks);
}

RETINUE_BENCH((pool_map<retinue::ProcessPool, 2>), "map/process_pool");
RETINUE_BENCH((pool_map_unordered<retinue::ProcessPool, 2>), "map_unordered/process_pool");
RETINUE_BENCH((pool_submit<retinue::ProcessPool, 2>), "submit/process_pool");
RETINUE_BENCH((pool_map<retinue::ProcessPool, 64>), "map/process_pool_64");
RETINUE_BENCH((pool_map_unordered<retinue::ProcessPool, 64>), "map_unordered/process_pool_64");
RETINUE_BENCH((pool_submit<retinue::ProcessPool, 64>), "submit/process_pool_64");

RETINUE_BENCH((pool_map<retinue::ThreadPool, 2>), "map/thread_pool");
RETINUE_BENCH((pool_map_unordered<retinue::ThreadPool, 2>), "map_unordered/thread_pool");
RETINUE_BENCH((pool_submit<retinue::ThreadPool, 2>), "submit/thread_pool");

#if RETINUE_BENCH_HAS_TBB
void tbb_task_group(benchmark::State& state) {
  bench::with_tbb_threads(2, [&] {
    std::vector<int> results(kTasks);
    per_task(state, kTasks, [&](std::size_t tasks) {
      tbb::task_group group;
      for (std::size_t i = 0; i < tasks; ++i) group.run([&results, i] { results[i] = square(static_cast<int>(i)); });
      group.wait();
      return std::accumulate(results.begin(), results.begin() + static_cast<std::ptrdiff_t>(tasks), std::int64_t{0});
    });
  });
}
RETINUE_BENCH(tbb_task_group, "submit/tbb");
#endif

void std_async(benchmark::State& state) {
  per_task(state, bench::amount(5'000), [](std::size_t tasks) {
    constexpr std::size_t kAtOnce = 64;  // each is a thread: thousands at once would only be slower
    std::int64_t sum = 0;
    std::vector<std::future<int>> futures;
    for (std::size_t first = 0; first < tasks; first += kAtOnce) {
      futures.clear();
      for (std::size_t i = first; i < std::min(tasks, first + kAtOnce); ++i)
        futures.push_back(std::async(std::launch::async, square, static_cast<int>(i)));
      for (auto& future : futures) sum += future.get();
    }
    return sum;
  });
}
RETINUE_BENCH(std_async, "submit/async");

/// A worker process that reads one int, squares it, writes one int, and so on.
struct PipeWorker {
  bench::Pipe requests, answers;
  bench::Child child{[this] {
    for (int x = 0; requests.read_all(&x, sizeof x);) answers.send(square(x));
  }};
};

/// Two workers, one int a write and one int a read, up to 1024 under way in each pipe.
void fork_and_pipe(benchmark::State& state) {
  PipeWorker workers[2];
  per_task(state, bench::amount(300'000), [&](std::size_t tasks) {
    constexpr std::size_t kAhead = 2 * 1024;
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < tasks + kAhead; ++i) {
      if (i >= kAhead && i - kAhead < tasks) sum += workers[i % 2].answers.receive<int>();
      if (i < tasks) workers[i % 2].requests.send(static_cast<int>(i));
    }
    return sum;
  });
}
RETINUE_BENCH(fork_and_pipe, "submit/pipe");

void serial(benchmark::State& state) {
  per_task(state, kTasks * 10, [](std::size_t tasks) {
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < tasks; ++i) {
      int s = square(static_cast<int>(i));
      benchmark::DoNotOptimize(s);
      sum += s;
    }
    return sum;
  });
}
RETINUE_BENCH(serial, "submit/serial");

/// What the machine's caches were like in this run; the median of a hundred means.
void spinning(benchmark::State& state) {
  bench::SpinningPartner partner;
  bench::Samples means(100);
  for (int turn = 0; turn < 100; ++turn) {
    const double ns = bench::ns_of([&] {
      for (int i = 0; i < 1'000; ++i) bench::expect(partner.trip(i) == i + 1, "successor");
    });
    means.add(ns / 1'000);
  }
  state.counters["per_task_ns"] = means.median();
}
RETINUE_BENCH(spinning, "submit/spinning");

}  // namespace
