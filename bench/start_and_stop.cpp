// A pool of two made, one task run, the pool closed, also in a process of 300 MB; beside it what bare children cost, from
// fork to waitpid.
#include <memory>
#include <optional>

#include <retinue/process_pool.hpp>
#include <retinue/thread_pool.hpp>

#include "child_process.hpp"
#include "measure.hpp"

namespace {

int next(int x) { return x + 1; }

template <class Pool>
void make_use_close(int i) {
  Pool pool(2);
  bench::expect(pool.submit(next, i).get() == i + 1, "successor");
}

template <class F>
void one_by_one(benchmark::State& state, std::size_t n, F&& f) {
  bench::Samples samples(n);
  for (int i = 0; i < static_cast<int>(n); ++i) samples.add(bench::ns_of([&] { f(i); }));
  samples.report(state);
}

void again(benchmark::State& state) {
  make_use_close<retinue::ProcessPool>(0);
  one_by_one(state, bench::amount(200), make_use_close<retinue::ProcessPool>);
}
RETINUE_BENCH(again, "pool of 2/process_pool");

/// The first pool of a process also makes the region; each is made in a process of its own.
void first(benchmark::State& state) {
  const std::size_t n = bench::amount(100);
  bench::Samples samples(n);
  for (std::size_t i = 0; i < n; ++i) {
    bench::Pipe answer;
    bench::Child child([&] {
      double ns = -1;
      try {
        ns = bench::ns_of([] { make_use_close<retinue::ProcessPool>(1); });
      } catch (const std::exception&) {
        // Reported as -1.
      }
      answer.send(ns);
    });
    const auto ns = answer.receive<double>();
    child.reap();
    bench::expect(ns > 0, "a pool made in a fresh child");
    samples.add(ns);
  }
  samples.report(state);
}
RETINUE_BENCH(first, "first pool of 2 of a process/process_pool");

/// 300 MB that every process of a pool inherits.
class Ballast {
 public:
  Ballast() : data_(new char[kBytes]) {
    for (std::size_t i = 0; i < kBytes; i += 4096) data_[i] = 1;
    benchmark::DoNotOptimize(data_.get());
  }

 private:
  static constexpr std::size_t kBytes = std::size_t{300} << 20;
  std::unique_ptr<char[]> data_;
};

void in_large_process(benchmark::State& state) {
  const Ballast ballast;
  make_use_close<retinue::ProcessPool>(0);
  one_by_one(state, bench::amount(30), make_use_close<retinue::ProcessPool>);
}
RETINUE_BENCH(in_large_process, "pool of 2, 300 MB/process_pool");

/// What is usual: the workers forked one after the other, then waited for one after the other.
void two_children_of_large_process(benchmark::State& state) {
  const Ballast ballast;
  one_by_one(state, bench::amount(30), [](int) {
    bench::Child first([] {}), second([] {});
    first.reap();
    second.reap();
  });
}
RETINUE_BENCH(two_children_of_large_process, "pool of 2, 300 MB/two_forks");

void threads(benchmark::State& state) { one_by_one(state, bench::amount(200), make_use_close<retinue::ThreadPool>); }
RETINUE_BENCH(threads, "pool of 2/thread_pool");

void bare_child(benchmark::State& state) {
  one_by_one(state, bench::amount(200), [](int) {
    bench::Child child([] {});
    child.reap();
  });
}
RETINUE_BENCH(bare_child, "pool of 2/fork");

}  // namespace
