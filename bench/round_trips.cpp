// One task at a time: from the submit to its result. Warm: one after the other. Cold: 5 to 20 ms apart, so that the
// worker sleeps. Beside it what the machine needs to carry a number to another process and back.
#include <atomic>
#include <cstdint>
#include <future>
#include <random>
#include <thread>

#include <linux/futex.h>
#include <sys/syscall.h>

#include <retinue/process_pool.hpp>
#include <retinue/thread_pool.hpp>

#include "child_process.hpp"
#include "measure.hpp"
#include "spinning_partner.hpp"

namespace {

int next(int x) { return x + 1; }

/// `n` round trips, each timed. `trip(i)` must give i + 1.
template <class Trip>
void warm(benchmark::State& state, std::size_t n, Trip&& trip) {
  for (int i = 0; i < static_cast<int>(n / 10 + 10); ++i) bench::expect(trip(i) == i + 1, "successor");
  bench::Samples samples(n);
  for (int i = 0; i < static_cast<int>(n); ++i) {
    int answer = 0;
    samples.add(bench::ns_of([&] { answer = trip(i); }));
    bench::expect(answer == i + 1, "successor");
  }
  samples.report(state);
}

template <class Trip>
void cold(benchmark::State& state, Trip&& trip) {
  const std::size_t n = bench::amount(100);
  std::minstd_rand random(17);
  std::uniform_int_distribution<int> pause_us(5'000, 20'000);
  bench::Samples samples(n);
  for (int i = 0; i < static_cast<int>(n); ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(pause_us(random)));
    int answer = 0;
    samples.add(bench::ns_of([&] { answer = trip(i); }));
    bench::expect(answer == i + 1, "successor");
  }
  samples.report(state);
}

void pool_warm(benchmark::State& state) {
  retinue::ProcessPool pool(2);
  warm(state, bench::amount(200'000), [&](int i) { return pool.submit(next, i).get(); });
}
void pool_cold(benchmark::State& state) {
  retinue::ProcessPool pool(2);
  cold(state, [&](int i) { return pool.submit(next, i).get(); });
}
RETINUE_BENCH(pool_warm, "warm/process_pool");
RETINUE_BENCH(pool_cold, "cold/process_pool");

void pool_of_64_warm(benchmark::State& state) {
  retinue::ProcessPool pool(64);
  warm(state, bench::amount(50'000), [&](int i) { return pool.submit(next, i).get(); });
}
RETINUE_BENCH(pool_of_64_warm, "warm/process_pool_64");

void threads_warm(benchmark::State& state) {
  retinue::ThreadPool pool(2);
  warm(state, bench::amount(200'000), [&](int i) { return pool.submit(next, i).get(); });
}
void threads_cold(benchmark::State& state) {
  retinue::ThreadPool pool(2);
  cold(state, [&](int i) { return pool.submit(next, i).get(); });
}
RETINUE_BENCH(threads_warm, "warm/thread_pool");
RETINUE_BENCH(threads_cold, "cold/thread_pool");

int by_async(int i) { return std::async(std::launch::async, next, i).get(); }
void async_warm(benchmark::State& state) { warm(state, bench::amount(5'000), by_async); }
void async_cold(benchmark::State& state) { cold(state, by_async); }
RETINUE_BENCH(async_warm, "warm/async");
RETINUE_BENCH(async_cold, "cold/async");

/// Two words in shared memory, each written by one side.
struct Words {
  alignas(64) std::atomic<std::uint32_t> request{0};
  alignas(64) std::atomic<std::uint32_t> answer{0};
};

void sleep_until_changed(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  for (;;) {
    const std::uint32_t seen = word.load(std::memory_order_acquire);
    if (seen == value) return;
    ::syscall(SYS_futex, &word, FUTEX_WAIT, seen, nullptr, nullptr, 0);
  }
}
void store_and_wake(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  word.store(value, std::memory_order_release);
  ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

/// Both sides sleep in a futex: what the kernel needs.
class FutexPartner {
 public:
  int trip(int i) {
    store_and_wake(words_->request, ++turn_);
    sleep_until_changed(words_->answer, turn_);
    return next(i);
  }

 private:
  bench::Shared<Words> words_;
  std::uint32_t turn_ = 0;
  bench::Child child_{[this] {
    for (std::uint32_t turn = 1;; ++turn) {
      sleep_until_changed(words_->request, turn);
      store_and_wake(words_->answer, turn);
    }
  }};
};

class PipePartner {
 public:
  int trip(int i) {
    requests_.send(i);
    return answers_.receive<int>();
  }

 private:
  bench::Pipe requests_, answers_;
  bench::Child child_{[this] {
    for (int x = 0; requests_.read_all(&x, sizeof x);) answers_.send(next(x));
  }};
};

template <class Partner, std::size_t kTrips>
void partner_warm(benchmark::State& state) {
  Partner partner;
  warm(state, bench::amount(kTrips), [&](int i) { return partner.trip(i); });
}
template <class Partner>
void partner_cold(benchmark::State& state) {
  Partner partner;
  cold(state, [&](int i) { return partner.trip(i); });
}

RETINUE_BENCH((partner_warm<bench::SpinningPartner, 200'000>), "warm/spinning");
RETINUE_BENCH((partner_warm<FutexPartner, 10'000>), "warm/futex");
RETINUE_BENCH((partner_warm<PipePartner, 10'000>), "warm/pipe");
RETINUE_BENCH((partner_cold<FutexPartner>), "cold/futex");
RETINUE_BENCH((partner_cold<PipePartner>), "cold/pipe");

}  // namespace
