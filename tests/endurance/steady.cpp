// Mixed load for a long time. Clients use one pool in rounds; between two rounds everything comes to rest and a sample
// is taken, so that what is left over is seen, and not what happens to be under way.
#include "modes.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <csignal>
#include <iostream>
#include <malloc.h>
#include <numeric>
#include <random>
#include <ranges>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include <retinue/retinue.hpp>

namespace endurance {
namespace {

using Random = std::mt19937_64;
using retinue::ProcessPool;

constexpr unsigned kClients = 3;
/// Workers are killed from outside at any moment. No step but those for deaths minds that: its tasks have no effects.
constexpr retinue::TaskOptions kAgain{.retries = 1000};

struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[maybe_unused]] const bool refused_travels = retinue::exception_travels<Refused>;

std::string turned(const std::string& s) { return {s.rbegin(), s.rend()}; }
[[noreturn]] void for_ever() {
  for (;;) std::this_thread::sleep_for(1h);
}
void refuse(int x) {
  if (x % 2 == 0) throw Refused(std::to_string(x));
  throw std::out_of_range(std::to_string(x));
}

/// One of the program's threads that use the pool. Each step checks what comes out of it.
class Client {
 public:
  Client(ProcessPool& pool, std::uint64_t seed) : pool_(pool), random_(seed) {}

  void step() {
    static constexpr std::array<void (Client::*)(), 12> kSteps = {
        &Client::one_by_one, &Client::many,      &Client::mapped, &Client::mapped_in_any_order,
        &Client::large,      &Client::large,     &Client::thrown, &Client::too_long,
        &Client::called,     &Client::cancelled, &Client::shared, &Client::returned_array};
    const std::uint64_t n = random_();
    if (n % 64 == 0) crashed();  // these take long: a stack is read, processes are started
    else if (n % 64 == 1) pool_of_its_own();
    else (this->*kSteps[n / 64 % kSteps.size()])();
    ++steps;
  }

  std::uint64_t steps = 0;

 private:
  int small() { return static_cast<int>(random_() % 1'000'000); }

  void one_by_one() {
    for (int i = 0; i < 100; ++i) {
      const int x = small();
      expect(pool_.with(kAgain).submit(next, x).get() == x + 1, "a small task");
    }
  }
  void many() {
    std::vector<retinue::Future<int>> futures;
    for (int i = 0; i < 6000; ++i) futures.push_back(pool_.with(kAgain).submit(next, i));
    const std::size_t read = random_() % futures.size();  // the rest is dropped
    for (std::size_t i = 0; i < read; ++i) expect(futures[i].get() == static_cast<int>(i) + 1, "one of many tasks");
  }
  void mapped() {
    const int stop = 1 + small() % 20'000;
    int i = 0;
    for (int y : pool_.with(kAgain).map(next, std::views::iota(0))) {
      expect(y == ++i, "a map in order");
      if (i == stop) break;
    }
  }
  void mapped_in_any_order() {
    std::uint64_t sum = 0;
    for (int y : pool_.with(kAgain).map_unordered(next, std::views::iota(0, 5000)))
      sum += static_cast<std::uint64_t>(y);
    expect(sum == 5000ull * 5001 / 2, "the sum of a map in any order");
  }
  void large() {
    const auto size = static_cast<std::size_t>(std::exp2(std::uniform_real_distribution<double>(0, 23)(random_)));
    std::string sent(size, 'a');
    sent.front() = 'b';
    auto f = pool_.with(kAgain).submit(turned, sent);
    if (random_() % 8 == 0) return;  // dropped, wherever it is
    const std::string back = f.get();
    expect(back.size() == size && back.back() == 'b', "a large argument and result");
  }
  void thrown() {
    const int x = small();
    try {
      pool_.with(kAgain).submit(refuse, x).get();
      expect(false, "a task that throws");
    } catch (const Refused& e) {
      expect(x % 2 == 0 && e.what() == std::to_string(x), "an exception of the program's");
    } catch (const std::out_of_range& e) {
      expect(x % 2 != 0 && e.what() == std::to_string(x), "an exception of the standard library's");
    }
  }
  void too_long() {
    try {
      pool_.with({.timeout = 5ms, .retries = 1000}).submit(for_ever).get();
      expect(false, "a task that takes too long");
    } catch (const retinue::TaskTimeout&) {
    }
  }
  void crashed() {
    constexpr std::array kSignals = {SIGSEGV, SIGABRT, SIGFPE, SIGKILL};
    const int signal = kSignals[random_() % kSignals.size()];
    try {
      pool_.submit([](int s) { std::raise(s); }, signal).get();
      expect(false, "a task that crashes");
    } catch (const retinue::WorkerDied& e) {
      expect(e.signal() == signal || e.signal() == SIGKILL, "the signal of a crash");
    }
  }
  void called() {
    std::atomic<int> calls{0};
    std::vector<retinue::Future<int>> futures;
    for (int i = 0; i < 200; ++i) {
      futures.push_back(pool_.with(kAgain).submit(next, i));
      futures.back().on_done([&calls](retinue::Future<int>&) { ++calls; });
    }
    const auto give_up = Clock::now() + 60s;
    while (calls.load() < 200 && Clock::now() < give_up) std::this_thread::sleep_for(100us);
    expect(calls.load() == 200, "200 callbacks");
  }
  void cancelled() {
    auto running = pool_.with(kAgain).submit(for_ever);
    std::vector<retinue::Future<int>> futures;
    for (int i = 0; i < 50; ++i) futures.push_back(pool_.with(kAgain).submit(next, i));
    for (auto& f : futures) f.cancel();
    expect(running.cancel(true), "a running task may be cancelled by force");
    for (auto& f : futures) {
      try {
        f.get();
      } catch (const retinue::Cancelled&) {
      }
    }
    try {
      running.get();
      expect(false, "a task that was cancelled");
    } catch (const retinue::Cancelled&) {
    }
  }
  void shared() {
    const std::size_t n = 1 + random_() % 500'000;
    retinue::SharedArray<int> array(n);
    const std::size_t half = n / 2;
    const auto fill = [](retinue::SharedSpan<int> part, int first) { std::iota(part.begin(), part.end(), first); };
    auto low = pool_.with(kAgain).submit(fill, array.span().subspan(0, half), 0);
    auto high = pool_.with(kAgain).submit(fill, array.span().subspan(half), static_cast<int>(half));
    low.get();
    high.get();
    expect(array[0] == 0 && array[n - 1] == static_cast<int>(n) - 1, "a shared array");
  }
  void returned_array() {
    const auto n = static_cast<std::size_t>(1 + small() / 4);
    auto f = pool_.with(kAgain).submit([](std::size_t size) { return retinue::SharedArray<int>(size, 7); }, n);
    if (random_() % 4 == 0) return;  // nobody takes it
    const retinue::SharedArray<int> array = f.get();
    expect(array.size() == n && array[n - 1] == 7, "an array as a result");
  }
  void pool_of_its_own() {
    ProcessPool pool(2);
    for (int i = 0; i < 10; ++i) expect(pool.submit(next, i).get() == i + 1, "a task of another pool");
    if (random_() % 2 == 0) pool.terminate();
  }

  ProcessPool& pool_;
  Random random_;
};

/// All clients work until `end`; the killer kills a worker now and then. The number of steps. Throws what a client threw.
std::uint64_t round(const Options& options, ProcessPool& pool, std::uint64_t seed, Clock::time_point end) {
  std::array<std::exception_ptr, kClients> errors;
  std::atomic<std::uint64_t> steps{0};
  std::atomic<unsigned> working{kClients};
  std::vector<std::thread> threads;
  for (unsigned c = 0; c < kClients; ++c)
    threads.emplace_back([&, c] {
      Client client(pool, seed * kClients + c);
      try {
        while (Clock::now() < end) {
          client.step();
          std::this_thread::sleep_for(options.pause);
        }
      } catch (...) {
        errors[c] = std::current_exception();
      }
      steps += client.steps;
      --working;
    });
  Random random(seed);
  for (auto next_kill = Clock::now() + 500ms; working.load() > 0; std::this_thread::sleep_for(10ms)) {
    if (Clock::now() < next_kill) continue;
    next_kill = Clock::now() + std::chrono::milliseconds(200 + random() % 2000);
    const auto pids = pool.worker_pids();
    if (!pids.empty()) ::kill(pids[random() % pids.size()], SIGKILL);
  }
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors)
    if (error) std::rethrow_exception(error);
  return steps;
}

/// Until no task is open, each worker that died is replaced, and all have freed what they kept for a next task:
/// memory that is used for nothing for two seconds, in workers that were asleep two seconds later.
void come_to_rest(const Options& options, ProcessPool& pool) {
  const auto give_up = Clock::now() + 60s;
  for (;;) {
    const auto stats = pool.stats();
    if (stats.finished == stats.submitted && stats.bytes_in_use == 0 && stats.workers_alive == pool.workers()) break;
    expect(Clock::now() < give_up, "the pool comes to rest: " + std::to_string(stats.submitted - stats.finished) +
                                       " tasks and " + std::to_string(stats.bytes_in_use) + " bytes are left");
    std::this_thread::sleep_for(1ms);
  }
  std::this_thread::sleep_for(options.rest);
  ::malloc_trim(0);  // what the C library keeps of this program's own strings and vectors comes and goes by megabytes
}

}  // namespace

bool run_steady(const Options& options) {
  // Or the C library makes another heap, of two mappings, whenever more threads than ever happen to allocate at once.
  ::mallopt(M_ARENA_MAX, 4);
  Record record(options, std::to_string(options.seconds.count()) + " s of steady load");
  std::cout << "seed " << options.seed << ", process " << ::getpid() << std::endl;
  ProcessPool pool(options.workers);
  const auto end = Clock::now() + options.seconds;
  std::uint64_t steps = 0;
  for (std::uint64_t n = 0; Clock::now() < end || n < kMinSamples; ++n) {
    steps += round(options, pool, options.seed * 1'000'003 + n, Clock::now() + options.sample);
    come_to_rest(options, pool);
    record.sample(std::to_string(steps) + " steps, " + std::to_string(pool.stats().submitted) + " tasks");
  }
  const auto stats = pool.stats();
  std::cout << "\n"
            << steps << " steps of " << kClients << " clients, " << stats.submitted << " tasks in the pool of "
            << pool.workers() << ": " << stats.failed << " failed as they should, " << stats.cancelled << " cancelled, "
            << stats.retried << " run again; " << stats.workers_died << " workers died, " << stats.workers_started
            << " were started; at most " << stats.bytes_peak / 1'000'000 << " MB of shared memory were in use\n";
  return record.judge();
}

}  // namespace endurance
