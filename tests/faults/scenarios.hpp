// What is done while calls fail. Each is a whole life of one or more pools.
#pragma once

#include <chrono>
#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <retinue/retinue.hpp>

#include "fresh_program.hpp"
#include "limited_workers.hpp"
#include "trial.hpp"

namespace retinue_test {

inline std::string letters(std::size_t n, char c) { return std::string(n, c); }
inline bool all_are(const std::string& text, std::size_t n, char c) {
  return text.size() == n && text.find_first_not_of(c) == std::string::npos;
}
inline std::string next_letters(const std::string& text) {
  return std::string(text.size(), static_cast<char>(text[0] + 1));
}

inline void start_and_end(Trial& trial) {
  std::optional<retinue::ProcessPool> pool;
  if (!trial.step("making a pool", [&] { pool.emplace(2); })) return;
  for (int i = 0; i < 3; ++i) trial.step("a task", [&] { DEMAND(pool->submit(square, i).get() == i * i); });
  trial.step("shutdown", [&] { pool->shutdown(); });
  trial.step_throws<retinue::PoolClosed>("a task after the shutdown", [&] { pool->submit(square, 1).get(); });
}

inline void growth(Trial& trial) {
  retinue::ProcessPoolOptions options;
  options.workers = 2;
  options.close_descriptors = true;
  options.slot_count = 64;
  std::optional<retinue::ProcessPool> pool;
  if (!trial.step("making a pool", [&] { pool.emplace(options); })) return;
  // Never reached; but what is taken is then looked at.
  if (!trial.step("a limit of shared memory", [] { retinue::limit_shared_memory(std::uint64_t{1} << 40); })) return;
  std::vector<retinue::Future<std::string>> results;
  std::vector<std::pair<std::size_t, char>> wanted;
  for (std::size_t i = 0; i < 90; ++i) {
    const std::size_t size = i == 50 ? 2'000'000 : i % 8 == 0 ? 60'000 + 1'000 * i : 100 * i + 1;
    const char c = static_cast<char>('a' + i % 20);
    if (trial.step("a large argument", [&] { results.push_back(pool->submit(next_letters, std::string(size, c))); }))
      wanted.emplace_back(size, c);
  }
  for (std::size_t i = 0; i < results.size(); ++i)
    trial.step("a large result",
               [&] { DEMAND(all_are(results[i].get(), wanted[i].first, static_cast<char>(wanted[i].second + 1))); });
  results.clear();
  if (!trial.step("no limit of shared memory", [] { retinue::limit_shared_memory(0); })) return;
  trial.step("large data in memory that was never used", [&] {
    constexpr std::size_t kSize = 3'000'000;
    DEMAND(all_are(pool->submit(next_letters, std::string(kSize, 'a')).get(), kSize, 'b'));
  });
  trial.step("a shared array", [&] {
    retinue::SharedArray<int> numbers(500'000);
    std::iota(numbers.begin(), numbers.end(), 0);
    const auto sum = [span = numbers.span()] { return std::accumulate(span.begin(), span.end(), 0LL); };
    DEMAND(pool->submit(sum).get() == 499'999LL * 250'000);
  });
  retinue::trim_shared_memory();
  trial.lift_and_use(*pool);
}

inline void traffic(Trial& trial) {
  std::optional<retinue::ProcessPool> pool;
  if (!trial.step("making a pool", [&] { pool.emplace(2); })) return;
  trial.step("submits", [&] {
    std::vector<retinue::Future<int>> futures;
    for (int i = 0; i < 40; ++i) futures.push_back(pool->submit(square, i));
    for (int i = 0; i < 40; ++i) DEMAND(futures[static_cast<std::size_t>(i)].get() == i * i);
  });
  trial.step("callbacks", [&] {
    std::atomic<int> called{0};
    {
      std::vector<retinue::Future<int>> futures;
      for (int i = 0; i < 10; ++i) {
        futures.push_back(pool->submit(square, i));
        futures.back().on_done([&](auto&) { ++called; });
      }
      for (auto& f : futures) f.wait();
    }
    DEMAND(eventually([&] { return called.load() == 10; }));
  });
  trial.step("a map", [&] {
    int i = 0;
    for (const int x : pool->map(square, std::views::iota(0, 60))) {
      DEMAND(x == i * i);
      ++i;
    }
    DEMAND(i == 60);
  });
  trial.step("an unordered map", [&] {
    long long sum = 0;
    for (const auto& x : pool->map_unordered(square, std::views::iota(0, 60))) sum += x;
    DEMAND(sum == 59 * 60 * 119 / 6);
  });
  trial.step("a wait with a limit", [&] {
    auto slow = pool->submit([] {
      nap(5ms);
      return 1;
    });
    while (slow.wait_for(1ms) == retinue::FutureStatus::timeout) {
    }
    DEMAND(slow.get() == 1);
  });
  trial.step("a cancel", [&] {
    auto f = pool->submit(spin_for_ever);
    f.cancel(true);
    try {
      f.get();
    } catch (const retinue::Cancelled&) {
    }
  });
  trial.lift_and_use(*pool);
}

inline void replacement(Trial& trial) {
  retinue::ProcessPoolOptions options;
  options.workers = 2;
  options.max_tasks_per_worker = 3;
  options.max_memory_per_worker = std::size_t{1} << 40;
  std::optional<retinue::ProcessPool> pool;
  if (!trial.step("making a pool", [&] { pool.emplace(options); })) return;
  trial.step_throws<retinue::WorkerDied>("a killed worker", [&] { pool->submit(meet_signal, SIGKILL).get(); });
  trial.step("a crash", [&] { pool->submit(meet_signal, SIGSEGV).wait(); });
  trial.step_throws<retinue::TaskTimeout>("a time limit",
                                          [&] { pool->with({.timeout = 10ms}).submit(spin_for_ever).get(); });
  trial.step("a task that is run again", [&] {
    board().counters[0].store(0);
    auto f = pool->with({.retries = 1}).submit([] {
      if (board().counters[0].fetch_add(1) == 0) std::raise(SIGKILL);
      return 5;
    });
    DEMAND(f.get() == 5);
  });
  for (int i = 0; i < 12; ++i) trial.step("a task", [&] { DEMAND(pool->submit(square, i).get() == i * i); });
  trial.lift_and_use(*pool);
}

inline void initializers(Trial& trial) {
  retinue::ProcessPoolOptions options;
  options.workers = 2;
  options.initializer = [] { board().counters[1].fetch_add(1); };
  trial.step("a pool with an initializer", [&] {
    retinue::ProcessPool pool(options);
    DEMAND(pool.submit([] { return board().counters[1].load() > 0; }).get());
  });
  options.initializer = [] { throw std::runtime_error("no licence"); };
  trial.step("a pool whose initializer throws", [&] {
    retinue::ProcessPool pool(options);
    try {
      pool.submit(square, 2).get();
      Trial::broken("a pool whose initializer throws", "works", std::runtime_error(""));
    } catch (const retinue::PoolClosed& e) {
      if (std::string(e.what()).find("no licence") == std::string::npos) throw;
    }
  });
}

inline void endings(Trial& trial) {
  retinue::ProcessPoolOptions options;
  options.workers = 2;
  options.slot_count = 64;
  const auto pause = [] {
    nap(1ms);
    return 3;
  };
  const auto ended = [](auto& future) {
    try {
      DEMAND(future.get() == 3);
    } catch (const retinue::Cancelled&) {
    } catch (const retinue::WorkerDied&) {
    }
  };
  for (const int way : {0, 1, 2}) {
    std::vector<retinue::Future<int>> futures;
    {
      std::optional<retinue::ProcessPool> pool;
      if (!trial.step("making a pool", [&] { pool.emplace(options); })) continue;
      for (int i = 0; i < 100; ++i)
        if (!trial.step("a submit", [&] { futures.push_back(pool->submit(pause)); })) break;
      if (way == 1) trial.step("shutdown that cancels", [&] { pool->shutdown(true); });
      if (way == 2) trial.step("terminate", [&] { pool->terminate(); });
      plan().step.store("a destructor");
    }
    for (auto& f : futures)
      trial.step("a future of a pool that is gone", [&] {
        DEMAND(f.done());
        ended(f);
      });
  }
}

inline int squares_in_a_pool(int n) {
  retinue::ProcessPool pool(1);
  int sum = 0;
  for (const int x : pool.map(square, std::views::iota(0, n))) sum += x;
  return sum;
}

inline void nested(Trial& trial) {
  std::optional<retinue::ProcessPool> pool;
  if (!trial.step("making a pool", [&] { pool.emplace(1); })) return;
  for (int i = 0; i < 2; ++i)
    trial.step("a task that makes a pool", [&] { DEMAND(pool->submit(squares_in_a_pool, 4).get() == 14); });
  trial.forget_closed();  // that was the task's pool
  trial.lift_and_use(*pool);
}

inline void threads(Trial& trial) {
  // The errors of threads that wait for a pool's lock or doorbell: none may end the program.
  std::optional<retinue::ThreadPool> pool;
  if (!trial.step("making a thread pool", [&] { pool.emplace(2); })) return;
  trial.step("submits", [&] {
    std::vector<retinue::Future<int>> futures;
    for (int i = 0; i < 20; ++i)
      futures.push_back(pool->submit([i] {
        nap(200us);
        return square(i);
      }));
    for (int i = 0; i < 20; ++i) DEMAND(futures[static_cast<std::size_t>(i)].get() == i * i);
  });
  trial.step("a wait within a task", [&] {
    const auto outer = [&pool = *pool](int x) {
      auto one = pool.submit([x] {
        nap(1ms);
        return square(x);
      });
      auto two = pool.submit([x] {
        nap(1ms);
        return square(x);
      });
      return one.get() + two.get();
    };
    auto a = pool->submit(outer, 2), b = pool->submit(outer, 3);
    const int first = a.get();
    DEMAND(first + b.get() == 26);
  });
  trial.step("a time limit that is kept", [&] { DEMAND(pool->with({.timeout = 10s}).submit(square, 5).get() == 25); });
  trial.step_throws<retinue::TaskTimeout>("a time limit", [&] {
    const auto over = std::make_shared<std::atomic<bool>>(false);  // the thread goes on unseen
    auto late = pool->with({.timeout = 2ms}).submit([over] {
      while (!*over) nap();
    });
    const std::shared_ptr<void> at_the_end(nullptr, [over](void*) { *over = true; });
    late.wait();
    *over = true;
    late.get();
  });
  trial.step("a map", [&] {
    int i = 0;
    for (const int x : pool->map(square, std::views::iota(0, 60))) {
      DEMAND(x == i * i);
      ++i;
    }
  });
  trial.step("shutdown", [&] { pool->shutdown(); });
  trial.step("a thread pool with an initializer", [&] {
    retinue::ThreadPoolOptions options;
    options.workers = 2;
    options.initializer = [] {};
    retinue::ThreadPool another(options);
    DEMAND(another.submit(square, 5).get() == 25);
  });
}

// The stack of a crash: costs a reading of symbol tables each time, so only what is new in it is walked.
inline void crash(Trial& trial) {
  std::optional<retinue::ProcessPool> pool;
  if (!trial.step("making a pool", [&] { pool.emplace(1); })) return;
  trial.step_throws<retinue::WorkerDied>("a crash", [&] { pool->submit(meet_signal, SIGSEGV).get(); });
  trial.lift_and_use(*pool);
}
inline constexpr const char* kCallsOfACrash[] = {"open", "read", "tgkill", "sigaltstack"};

struct Scenario {
  const char* name;
  void (*run)(Trial&);
  std::span<const char* const> only;  ///< these calls; all if empty

  bool walks(std::string_view call) const { return only.empty() || std::ranges::count(only, call) != 0; }
};
inline std::ostream& operator<<(std::ostream& out, const Scenario& scenario) { return out << scenario.name; }

inline constexpr Scenario kScenarios[] = {
    {"start_and_end", start_and_end, {}},
    {"growth", growth, {}},
    {"traffic", traffic, {}},
    {"replacement", replacement, {}},
    {"initializers", initializers, {}},
    {"endings", endings, {}},
    {"nested", nested, {}},
    {"threads", threads, {}},
    {"limited_workers", limited_workers, {}},
    {"crash", crash, kCallsOfACrash},
#if !defined(__SANITIZE_THREAD__)  // which leaves no address that is free in both programs
    {"fresh_start", fresh_start, {}},
#endif
};

}  // namespace retinue_test
