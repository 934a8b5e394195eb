// 100 MB to a task and back: the first time in a process, again, and after three seconds in which nothing was asked for.
// Each is measured in a child that has measured nothing before.
#include <fcntl.h>
#include <sys/mman.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <thread>
#include <vector>

#include <retinue/process_pool.hpp>
#include <retinue/result_view.hpp>

#include "child_process.hpp"
#include "crowd.hpp"
#include "measure.hpp"

namespace {

constexpr std::size_t kBytes = 100'000'000;
constexpr std::size_t kPage = 4096;
constexpr auto kPause = std::chrono::seconds(3);

std::uint64_t sum_of_pages(std::span<const char> bytes) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < bytes.size(); at += kPage) sum += static_cast<unsigned char>(bytes[at]);
  return sum;
}
constexpr std::uint64_t kSum = (kBytes + kPage - 1) / kPage;

std::vector<char> made() { return std::vector<char>(kBytes, 1); }

bool right(std::span<const char> bytes) { return bytes.size() == kBytes && bytes.front() == 1 && bytes.back() == 1; }

/// Nanoseconds; what was not measured is negative.
struct Times {
  double first = -1, again = -1, after_pause = -1;
};

void report(benchmark::State& state, const Times& times) {
  if (times.first >= 0) state.counters["first_ns"] = times.first;
  if (times.again >= 0) state.counters["again_ns"] = times.again;
  if (times.after_pause >= 0) state.counters["after_pause_ns"] = times.after_pause;
}

/// `once` gives what one way there or back took.
template <class F>
Times first_and_again(F&& once, bool pause) {
  Times times;
  times.first = once();
  bench::Samples more(5);
  for (int i = 0; i < 5; ++i) more.add(once());
  times.again = more.median();
  if (pause) {
    std::this_thread::sleep_for(kPause);
    times.after_pause = once();
  }
  return times;
}

template <class Company>
Times argument() {
  [[maybe_unused]] const Company company;
  retinue::ProcessPool pool(2);
  bench::expect(pool.submit([](int x) { return x + 1; }, 1).get() == 2, "successor");
  const std::vector<char> data = made();
  return first_and_again(
      [&] {
        return bench::ns_of([&] { bench::expect(pool.submit(sum_of_pages, data).get() == kSum, "sum of pages"); });
      },
      true);
}

/// Read where the worker has written it.
Times viewed_result() {
  retinue::ProcessPool pool(2);
  bench::expect(pool.submit([](int x) { return x + 1; }, 1).get() == 2, "successor");
  const auto once = [&] {
    retinue::ResultView<char> got;
    const double ns = bench::ns_of([&] { got = retinue::result_view(pool.submit(made)); });
    bench::expect(right({got.data(), got.size()}), "bytes of a result");
    return ns;
  };
  return first_and_again(once, true);
}

template <class Company>
Times result() {
  [[maybe_unused]] const Company company;
  retinue::ProcessPool pool(2);
  bench::expect(pool.submit([](int x) { return x + 1; }, 1).get() == 2, "successor");
  const auto once = [&] {
    std::vector<char> got;
    const double ns = bench::ns_of([&] { got = pool.submit(made).get(); });
    bench::expect(right(got), "bytes of a result");
    return ns;
  };
  return first_and_again(once, true);
}

/// A child that reads into a vector which it makes for it, and answers with the sum.
Times pipe_argument() {
  bench::Pipe requests, answers;
  ::fcntl(requests.in(), F_SETPIPE_SZ, 1 << 20);
  bench::Child child([&] {
    for (;;) {
      std::vector<char> bytes(kBytes);
      if (!requests.read_all(bytes.data(), kBytes)) return;
      answers.send(sum_of_pages(bytes));
    }
  });
  const std::vector<char> data = made();
  const auto once = [&] {
    requests.write_all(data.data(), kBytes);
    bench::expect(answers.receive<std::uint64_t>() == kSum, "sum of pages");
  };
  return first_and_again([&] { return bench::ns_of(once); }, false);
}

/// A child that makes a vector and writes it, to an owner that reads it into one of its own.
Times pipe_result() {
  bench::Pipe requests, answers;
  ::fcntl(answers.in(), F_SETPIPE_SZ, 1 << 20);
  bench::Child child([&] {
    for (char request = 0; requests.read_all(&request, 1);) answers.write_all(made().data(), kBytes);
  });
  const auto once = [&] {
    std::vector<char> got;
    const double ns = bench::ns_of([&] {
      requests.send(char{1});
      got.resize(kBytes);
      bench::expect(answers.read_all(got.data(), kBytes), "a child that answers");
    });
    bench::expect(right(got), "bytes of a result");
    return ns;
  };
  return first_and_again(once, false);
}

// Copies into new memory. Each gives what the copy took; that the memory is given back is not counted.

/// Into a new file that lies in memory and has no name.
double copy_into_file(std::span<const char> from) {
  const int file = ::memfd_create("first_time", MFD_CLOEXEC);
  if (file < 0) bench::call_failed("memfd_create");
  const double ns = bench::ns_of([&] {
    for (std::size_t at = 0; at < from.size();) {
      const ssize_t n = ::pwrite(file, from.data() + at, from.size() - at, static_cast<off_t>(at));
      if (n < 0) bench::call_failed("pwrite");
      at += static_cast<std::size_t>(n);
    }
  });
  ::close(file);
  return ns;
}

/// Into a new mapping, which the copy is the first to touch.
double copy_into_mapping(std::span<const char> from) {
  void* to = ::mmap(nullptr, from.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (to == MAP_FAILED) bench::call_failed("mmap");
  const double ns = bench::ns_of([&] {
    std::memcpy(to, from.data(), from.size());
    benchmark::DoNotOptimize(to);
    benchmark::ClobberMemory();
  });
  ::munmap(to, from.size());
  return ns;
}

double copy_into_vector(std::span<const char> from) {
  std::vector<char> to;
  const double ns = bench::ns_of([&] { to.assign(from.begin(), from.end()); });
  bench::expect(right(to), "bytes of a copy");
  return ns;
}

template <double (*Copy)(std::span<const char>)>
Times copied() {
  const std::vector<char> data = made();
  bench::Samples times(3);
  for (int i = 0; i < 3; ++i) times.add(Copy(data));
  return {.first = times.median()};
}
template <double (*Copy)(std::span<const char>)>
Times made_and_copied() {
  bench::Samples times(3);
  for (int i = 0; i < 3; ++i) {
    std::vector<char> data;
    const double ns = bench::ns_of([&] { data = made(); });
    times.add(ns + Copy(data));
  }
  return {.first = times.median()};
}

template <Times (*Measure)()>
void in_a_child(benchmark::State& state) {
  report(state, bench::apart<Times>(Measure));
}

struct Nobody {};

RETINUE_BENCH(in_a_child<argument<Nobody>>, "100 MB argument/process_pool");
RETINUE_BENCH(in_a_child<argument<bench::Crowd>>, "100 MB argument, crowded/process_pool");
RETINUE_BENCH(in_a_child<pipe_argument>, "100 MB argument/pipe");
RETINUE_BENCH(in_a_child<copied<copy_into_mapping>>, "100 MB argument/memcpy_fresh");
RETINUE_BENCH(in_a_child<copied<copy_into_file>>, "100 MB argument/pwrite");
RETINUE_BENCH(in_a_child<result<Nobody>>, "100 MB result/process_pool");
RETINUE_BENCH(in_a_child<result<bench::Crowd>>, "100 MB result, crowded/process_pool");
RETINUE_BENCH(in_a_child<viewed_result>, "100 MB result/view");
RETINUE_BENCH(in_a_child<pipe_result>, "100 MB result/pipe");
RETINUE_BENCH(in_a_child<made_and_copied<copy_into_file>>, "100 MB result/pwrite");
RETINUE_BENCH(in_a_child<made_and_copied<copy_into_vector>>, "100 MB result/vector_copy");

}  // namespace
