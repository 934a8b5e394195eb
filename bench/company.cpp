// Round trips one after the other, alone and in company: idle threads, more workers, a crowd, and neighbours that keep
// the other CPUs busy. Each is measured in a child that has measured nothing before, for where the scheduler once puts
// owner and worker they may stay.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <thread>

#include <retinue/process_pool.hpp>

#include "child_process.hpp"
#include "crowd.hpp"
#include "measure.hpp"
#include "spinning_partner.hpp"

namespace {

constexpr int kTrips = 200;        // in a batch
constexpr double kSlowNs = 3'000;  // a batch whose mean is above is a slow one
constexpr int kRounds = 12;
constexpr auto kPause = std::chrono::milliseconds(50);
constexpr double kNeighbourNs = 1e8;  // what a round takes at least, where it is also asked what neighbours keep
constexpr double kLongestNs = 5e8;    // what a round takes at most

int next(int x) { return x + 1; }

struct Spread {
  double mean_ns, median_ns, p90_ns, p99_ns, slow_percent, kept_percent;
};

/// What neighbours count in a time, in all of its parts together.
struct Rate {
  double counted = 0, ns = 0;
  template <class F>
  void add(const bench::Neighbours* neighbours, F&& f) {
    if (neighbours == nullptr) return f();
    const double before = neighbours->count();
    ns += bench::ns_of(f);
    counted += neighbours->count() - before;
  }
};

/// So many batches of trips in twelve rounds, with a pause before each, after which 20 trips are not counted.
template <class Trip>
Spread trips(std::size_t batches, const bench::Neighbours* neighbours, Trip&& trip) {
  bench::Samples samples(batches * kTrips);
  double sum = 0, slow = 0, done = 0;
  const auto batch = [&] {
    double batch_ns = 0;
    for (int i = 0; i < kTrips; ++i) {
      int answer = 0;
      const double ns = bench::ns_of([&] { answer = trip(i); });
      bench::expect(answer == i + 1, "successor");
      samples.add(ns);
      batch_ns += ns;
    }
    sum += batch_ns;
    slow += batch_ns > kSlowNs * kTrips ? 1 : 0;
    ++done;
  };
  Rate alone, together;
  for (int round = 0; round < kRounds; ++round) {
    alone.add(neighbours, [] { std::this_thread::sleep_for(kPause); });
    together.add(neighbours, [&] {
      const auto begin = bench::Clock::now();
      for (int i = 0; i < 20; ++i) bench::expect(trip(i) == i + 1, "successor");
      std::size_t left = std::max<std::size_t>(1, batches / kRounds);
      do {
        batch();
        if (left > 0) --left;
      } while (bench::ns_since(begin) < (left > 0 ? kLongestNs : neighbours ? kNeighbourNs : 0));
    });
  }
  Spread spread{};
  spread.mean_ns = sum / (done * kTrips);
  spread.median_ns = samples.median();
  spread.p90_ns = samples.percentile(90);
  spread.p99_ns = samples.percentile(99);
  spread.slow_percent = 100 * slow / done;
  if (neighbours) spread.kept_percent = 100 * (together.counted / together.ns) / (alone.counted / alone.ns);
  return spread;
}

void report(benchmark::State& state, const Spread& spread, bool neighbours = false) {
  state.counters["mean_ns"] = spread.mean_ns;
  state.counters["median_ns"] = spread.median_ns;
  state.counters["p90_ns"] = spread.p90_ns;
  state.counters["p99_ns"] = spread.p99_ns;
  state.counters["slow_percent"] = spread.slow_percent;
  if (neighbours) state.counters["kept_percent"] = spread.kept_percent;
}

/// A pool, or two bare processes: whatever `trip(i)` gives i + 1.
template <unsigned kWorkers>
struct Pool {
  static constexpr std::size_t kBatches = 3'600;
  int trip(int i) { return pool.submit(next, i).get(); }
  retinue::ProcessPool pool{kWorkers};
};
struct Pipes {
  static constexpr std::size_t kBatches = 120;
  int trip(int i) {
    requests.send(i);
    return answers.receive<int>();
  }
  bench::Pipe requests, answers;
  bench::Child child{[this] {
    for (int x = 0; requests.read_all(&x, sizeof x);) answers.send(next(x));
  }};
};
struct Spinning : bench::SpinningPartner {
  static constexpr std::size_t kBatches = 3'600;
};

struct Nobody {};
struct Threads {
  bench::IdleThreads threads{20};
};

template <class Company, class Partner>
void in_company(benchmark::State& state) {
  report(state, bench::apart<Spread>([] {
           [[maybe_unused]] Company company;
           Partner partner;
           return trips(bench::amount(Partner::kBatches), nullptr, [&](int i) { return partner.trip(i); });
         }));
}

template <class Partner>
void beside_neighbours(benchmark::State& state) {
  const Spread spread = bench::apart<Spread>([] {
    bench::Neighbours neighbours;
    if (!neighbours.any()) throw std::runtime_error("there is one CPU only");
    Partner partner;
    return trips(bench::amount(Partner::kBatches / 10), &neighbours, [&](int i) { return partner.trip(i); });
  });
  report(state, spread, true);
}

RETINUE_BENCH((in_company<Nobody, Pool<2>>), "alone/process_pool");
RETINUE_BENCH((in_company<Threads, Pool<2>>), "20 threads/process_pool");
RETINUE_BENCH((in_company<Nobody, Pool<8>>), "8 workers/process_pool");
RETINUE_BENCH((in_company<bench::Crowd, Pool<2>>), "crowded/process_pool");
RETINUE_BENCH(beside_neighbours<Pool<2>>, "neighbours/process_pool");

RETINUE_BENCH((in_company<Nobody, Pipes>), "alone/pipe");
RETINUE_BENCH((in_company<bench::Crowd, Pipes>), "crowded/pipe");
RETINUE_BENCH(beside_neighbours<Pipes>, "neighbours/pipe");
RETINUE_BENCH((in_company<Nobody, Spinning>), "alone/spinning");

}  // namespace
