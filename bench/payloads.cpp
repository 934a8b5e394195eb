// What bytes cost: vector<char> to a task that takes a span and reads a byte of every page, and from a task that
// makes one; one round trip at a time, the same again and again (first_time.cpp has the first). Beside it one memcpy, into
// memory that was used before and into memory that the system has just given, a vector copied, and the same bytes through
// a pipe to a child process. And the same in a SharedArray, of which only a name travels.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <span>
#include <string>
#include <sys/mman.h>
#include <vector>

#include <retinue/process_pool.hpp>
#include <retinue/result_view.hpp>

#include "child_process.hpp"
#include "measure.hpp"

namespace {

struct Size {
  std::size_t bytes;
  const char* name;
};
constexpr Size kSizes[] = {{8, "8 B"},        {224, "224 B"},      {256, "256 B"},        {4'096, "4 KB"},
                           {65'536, "64 KB"}, {1'000'000, "1 MB"}, {10'000'000, "10 MB"}, {100'000'000, "100 MB"}};
constexpr std::size_t kPage = 4096;

/// What is in every page's first byte.
std::uint64_t sum_of_pages(std::span<const char> bytes) {
  std::uint64_t sum = bytes.size();
  for (std::size_t at = 0; at < bytes.size(); at += kPage) sum += static_cast<unsigned char>(bytes[at]);
  return sum;
}

std::vector<char> made(std::size_t bytes, char fill) { return std::vector<char>(bytes, fill); }

std::size_t repeats(std::size_t bytes) {
  const std::size_t n = 30'000'000 / (bytes + 10'000);
  return bench::amount(n < 5 ? 5 : n);
}

/// Times `f(i)`; i changes so that no answer can be an old one.
template <class F>
void measure(benchmark::State& state, std::size_t bytes, F&& f) {
  const std::size_t n = repeats(bytes);
  for (std::size_t i = 0; i < 2 + n / 10; ++i) f(i);
  bench::Samples samples(n);
  for (std::size_t i = 0; i < n; ++i) samples.add(bench::ns_of([&] { f(i); }));
  state.counters["median_ns"] = samples.median();
}

void argument(benchmark::State& state, std::size_t bytes) {
  retinue::ProcessPool pool(2);
  std::vector<char> data(bytes, 1);
  measure(state, bytes, [&](std::size_t i) {
    data[0] = static_cast<char>(i % 100);
    const std::uint64_t right = bytes + (bytes - 1) / kPage + i % 100;
    bench::expect(pool.submit(sum_of_pages, data).get() == right, "sum of pages");
  });
}

void make_and_drop(std::size_t bytes, char fill) {
  std::vector<char> vector = made(bytes, fill);
  benchmark::DoNotOptimize(vector.data());
  benchmark::ClobberMemory();
}

/// Times a result, and in turn with it a task that makes the same vector and returns nothing: what is beyond that is the
/// result's.
template <class F>
void measure_result(benchmark::State& state, retinue::ProcessPool& pool, std::size_t bytes, F&& get) {
  const std::size_t n = repeats(bytes);
  bench::Samples with(n), without(n);
  for (std::size_t i = 0; i < 2 + n / 10 + n; ++i) {
    const char fill = static_cast<char>(i % 100);
    const double result = bench::ns_of([&] { get(fill); });
    const double making = bench::ns_of([&] { pool.submit(make_and_drop, bytes, fill).get(); });
    if (i < 2 + n / 10) continue;
    with.add(result);
    without.add(making);
  }
  state.counters["median_ns"] = with.median();
  state.counters["beyond_making_ns"] = std::max(with.median() - without.median(), 0.0);
}

void result(benchmark::State& state, std::size_t bytes) {
  retinue::ProcessPool pool(2);
  measure_result(state, pool, bytes, [&](char fill) {
    const std::vector<char> got = pool.submit(made, bytes, fill).get();
    bench::expect(got.size() == bytes && got.front() == fill && got.back() == fill, "bytes of a result");
  });
}

/// The same, read where the worker has written it.
void viewed_result(benchmark::State& state, std::size_t bytes) {
  retinue::ProcessPool pool(2);
  measure_result(state, pool, bytes, [&](char fill) {
    const retinue::ResultView<char> got = retinue::result_view(pool.submit(made, bytes, fill));
    bench::expect(got.size() == bytes && got[0] == fill && got[bytes - 1] == fill, "bytes of a result");
  });
}

void shared_argument(benchmark::State& state, std::size_t bytes) {
  retinue::ProcessPool pool(2);
  retinue::SharedArray<char> data(bytes, 1);
  const auto sum = [](retinue::SharedSpan<char> span) { return sum_of_pages(span); };
  measure(state, bytes, [&](std::size_t i) {
    data[0] = static_cast<char>(i % 100);
    const std::uint64_t right = bytes + (bytes - 1) / kPage + i % 100;
    bench::expect(pool.submit(sum, data.span()).get() == right, "sum of pages");
  });
}

retinue::SharedArray<char> made_shared(std::size_t bytes, char fill) { return retinue::SharedArray<char>(bytes, fill); }

void shared_result(benchmark::State& state, std::size_t bytes) {
  retinue::ProcessPool pool(2);
  measure(state, bytes, [&](std::size_t i) {
    const char fill = static_cast<char>(i % 100);
    const retinue::SharedArray<char> got = pool.submit(made_shared, bytes, fill).get();
    bench::expect(got.size() == bytes && got[0] == fill && got[bytes - 1] == fill, "bytes of a result");
  });
}

/// The same vector made right here: part of what a result costs.
void made_here(benchmark::State& state, std::size_t bytes) {
  measure(state, bytes, [&](std::size_t i) {
    std::vector<char> got = made(bytes, static_cast<char>(i % 100));
    benchmark::DoNotOptimize(got.data());
    benchmark::ClobberMemory();
  });
}

/// A vector copied right here, into a new one: what whoever wants a vector has at least to do.
void vector_copy(benchmark::State& state, std::size_t bytes) {
  std::vector<char> from(bytes, 1);
  measure(state, bytes, [&](std::size_t i) {
    from[0] = static_cast<char>(i % 100);
    std::vector<char> to(from);
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
    bench::expect(to.front() == from.front() && to.back() == 1, "bytes of a copy");
  });
}

void warm_memcpy(benchmark::State& state, std::size_t bytes) {
  const std::vector<char> from(bytes, 1);
  std::vector<char> to(bytes);
  measure(state, bytes, [&](std::size_t) {
    std::memcpy(to.data(), from.data(), bytes);
    benchmark::DoNotOptimize(to.data());
    benchmark::ClobberMemory();
  });
}

void fresh_memcpy(benchmark::State& state, std::size_t bytes) {
  const std::vector<char> from(bytes, 1);
  const std::size_t n = repeats(bytes);
  bench::Samples samples(n);
  for (std::size_t i = 0; i < n; ++i) {
    void* to = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (to == MAP_FAILED) bench::call_failed("mmap");
    samples.add(bench::ns_of([&] {
      std::memcpy(to, from.data(), bytes);
      benchmark::DoNotOptimize(to);
      benchmark::ClobberMemory();
    }));
    ::munmap(to, bytes);
  }
  state.counters["median_ns"] = samples.median();
}

/// Bytes to a child that reads them into a buffer it keeps and answers with the sum, or from one that makes a vector of them
/// and sends it.
struct PipeWorker {
  explicit PipeWorker(std::size_t bytes, bool sends) : size(bytes), sender(sends) {}
  std::size_t size;
  bool sender;
  bench::Pipe requests, answers;
  bench::Child child{[this] {
    ::fcntl(requests.in(), F_SETPIPE_SZ, 1 << 20);
    ::fcntl(answers.in(), F_SETPIPE_SZ, 1 << 20);
    if (sender) {
      for (char fill = 0; requests.read_all(&fill, 1);) answers.write_all(made(size, fill).data(), size);
    } else {
      std::vector<char> bytes(size, 1);
      while (requests.read_all(bytes.data(), size)) answers.send(sum_of_pages(bytes));
    }
  }};
};
void pipe_argument(benchmark::State& state, std::size_t bytes) {
  PipeWorker worker(bytes, false);
  std::vector<char> data(bytes, 1);
  measure(state, bytes, [&](std::size_t i) {
    data[0] = static_cast<char>(i % 100);
    worker.requests.write_all(data.data(), bytes);
    const std::uint64_t right = bytes + (bytes - 1) / kPage + i % 100;
    bench::expect(worker.answers.receive<std::uint64_t>() == right, "sum of pages");
  });
}
void pipe_result(benchmark::State& state, std::size_t bytes) {
  PipeWorker worker(bytes, true);
  measure(state, bytes, [&](std::size_t i) {
    const char fill = static_cast<char>(i % 100);
    std::vector<char> got(bytes);
    worker.requests.send(fill);
    worker.answers.read_all(got.data(), bytes);
    bench::expect(got.front() == fill && got.back() == fill, "bytes of a result");
  });
}

template <void (*Body)(benchmark::State&, std::size_t)>
void of_size(benchmark::State& state) {
  for (auto _ : state) {
    try {
      Body(state, static_cast<std::size_t>(state.range(0)));
    } catch (const std::exception& e) {
      state.SkipWithError(e.what());
      break;
    }
  }
}

template <void (*Body)(benchmark::State&, std::size_t)>
bool add(const char* direction, const char* column) {
  for (const Size& size : kSizes)
    benchmark::RegisterBenchmark((std::string(size.name) + direction + "/" + column).c_str(), of_size<Body>)
        ->Arg(static_cast<std::int64_t>(size.bytes))
        ->Iterations(1)
        ->UseRealTime();
  return true;
}

const bool added = add<argument>(" argument", "process_pool") && add<shared_argument>(" argument", "shared_array") &&
                   add<shared_result>(" result", "shared_array") && add<warm_memcpy>(" argument", "memcpy_warm") &&
                   add<fresh_memcpy>(" argument", "memcpy_fresh") && add<pipe_argument>(" argument", "pipe") &&
                   add<result>(" result", "process_pool") && add<viewed_result>(" result", "view") &&
                   add<made_here>(" result", "made_here") && add<vector_copy>(" result", "vector_copy") &&
                   add<warm_memcpy>(" result", "memcpy_warm") && add<fresh_memcpy>(" result", "memcpy_fresh") &&
                   add<pipe_result>(" result", "pipe");

}  // namespace
