// Tasks that write random words over what the processes of a pool share: each future ends, and the pool goes on.
#include "support/process_watch.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "open_pool.hpp"

namespace {

using namespace retinue_test;
using namespace retinue_test::wild_writes;
using retinue::Future;
using retinue::FutureStatus;
using retinue::MemoryOverwritten;
using retinue::detail::RegionHead;
using retinue::detail::Slot;
using retinue::detail::WorkerRecord;
using Random = std::mt19937_64;

/// Where a word may be hit: more often where much hangs on it.
std::uint64_t* any_word(Random& random, const PoolMemory& m, std::byte* region_head) {
  const auto within = [&](void* at, std::size_t bytes) {
    return static_cast<std::uint64_t*>(at) + random() % (bytes / 8);
  };
  switch (random() % 10) {
    case 0: {
      void* words[] = {&m.control->tail, &m.control->head, &m.control->closing, &m.control->idlers[0].spinning,
                       &m.control->idlers[0].asleep};
      return static_cast<std::uint64_t*>(words[random() % std::size(words)]);
    }
    case 1: return within(m.control, sizeof *m.control);
    case 2:
    case 3: return within(&m.worker_records[random() % m.workers], 208);
    case 4: return within(m.worker_records, m.workers * sizeof(WorkerRecord));
    case 5:
    case 6: return within(&m.slots[random() % (m.slot_mask + 1)], 32);
    case 7: {  // one that is in use
      const std::uint64_t tail = m.control->tail.load();
      return within(&m.slot(tail - random() % (m.slot_mask + 1)), random() % 3 == 0 ? 32 : 8);
    }
    case 8: return within(m.slots, (m.slot_mask + 1) * sizeof(Slot));
    default: {
      auto* head = reinterpret_cast<RegionHead*>(region_head);
      switch (random() % 4) {
        case 0: return within(&head->rules, sizeof head->rules);
        case 1: return within(&head->modules, 8);
        case 2: return within(&head->modules.records[0], 2 * sizeof head->modules.records[0]);
        default: return within(head, sizeof *head);
      }
    }
  }
}

void write_wildly(std::uintptr_t where, std::uintptr_t region_head, std::uint64_t seed) {
  Random random(seed);
  const PoolMemory m = PoolMemory::at(reinterpret_cast<std::byte*>(where), kWorkers, kSlots);
  for (auto words = 1 + random() % 5; words != 0; --words) {
    auto* head = reinterpret_cast<std::byte*>(region_head);
    const std::atomic_ref<std::uint64_t> word(*any_word(random, m, head));
    switch (random() % 8) {
      case 0: word.store(0); break;
      case 1: word.store(~std::uint64_t{0}); break;
      case 2: word.store(random() % 8); break;
      case 3: word.fetch_xor(std::uint64_t{1} << random() % 64); break;
      case 4: word.fetch_add(random() % 200 - 100); break;
      case 5: word.store(*any_word(random, m, head)); break;
      case 6: word.store(random() << 32 | (word.load() & 0xffffffff)); break;
      default: word.store(random());
    }
  }
}

/// What one round comes to; false, after saying why, if something did not end.
struct Rounds {
  explicit Rounds(std::uint64_t seed_) : seed(seed_), random(seed_) {}

  template <class T>
  void note(Future<T>& f, const std::function<bool(const T&)>& right) {
    try {
      const T value = f.get();
      if (right(value)) ++values;
      else ++others;
    } catch (const MemoryOverwritten&) {
      ++overwritten;
    } catch (const std::exception&) {
      ++errors;
    }
  }
  template <class T>
  bool ends(Future<T>& f, const char* what) {
    if (f.wait_for(kLongest) == FutureStatus::ready) return true;
    std::printf("seed %llu, round %d: %s did not end\n", static_cast<unsigned long long>(seed), round, what);
    std::fflush(stdout);
    return false;
  }

  bool run(int rounds) {
    const auto head = reinterpret_cast<std::uintptr_t>(Region::of_this_process().at(0));
    std::optional<OpenPool> open;
    for (round = 0; round < rounds; ++round) {
      if (!open) open.emplace();
      std::vector<Future<int>> small;
      std::vector<Future<std::string>> large;
      std::vector<Future<void>> vandals;
      const int tasks = static_cast<int>(20 + random() % 100), vandal = static_cast<int>(random()) % tasks;
      for (int i = 0; i < tasks; ++i) {
        const auto kind = random() % 16;
        retinue::TaskOptions options{.retries = random() % 4 == 0 ? 2u : 0u};
        if (random() % 8 == 0) options.timeout = 2s;
        if (i == vandal) vandals.push_back(open->pool.submit(write_wildly, open->where, head, random()));
        try {
          if (kind < 8) small.push_back(open->pool.with(options).submit(twice, i));
          else if (kind < 12)
            small.push_back(open->pool.with(options).submit(
                [](int n) {
                  nap(200us);
                  return 2 * n;
                },
                i));
          else if (kind == 12)
            large.push_back(open->pool.with(options).submit([](std::string s) { return s; }, std::string(50'000, 's')));
          else
            large.push_back(open->pool.with(options).submit([](std::size_t n) { return std::string(n % 100'000, 's'); },
                                                            std::size_t{1} << random() % 17));
        } catch (const retinue::ResourceExhausted&) {
          ++errors;
        }
      }
      for (auto& f : vandals)
        if (!ends(f, "the vandal")) return false;
      for (std::size_t i = 0; i < small.size(); ++i)
        if (!ends(small[i], "a small task")) return false;
      for (auto& f : large)
        if (!ends(f, "a large task")) return false;
      for (auto& f : small) note<int>(f, [](int) { return true; });
      for (auto& f : large)
        note<std::string>(f, [](const std::string& s) { return s.find_first_not_of('s') == std::string::npos; });
      bool works = false;
      for (int tries = 0; tries < 50 && !works; ++tries) {
        try {
          auto f = open->pool.with({.retries = 5}).submit(twice, 21);
          if (!ends(f, "a task of a pool that was repaired")) return false;
          works = f.get() == 42;
        } catch (const std::exception& e) {
          why = e.what();
          nap(10ms);
        }
      }
      if (!works) {
        std::printf("seed %llu, round %d: the pool is lost: %s\n", static_cast<unsigned long long>(seed), round,
                    why.c_str());
        return false;
      }
      if (random() % 16 == 0) {
        if (random() % 4 == 0) open->pool.terminate();
        open.reset();
      }
    }
    std::printf("seed %llu: %d values, %d others, %d overwritten, %d other errors\n",
                static_cast<unsigned long long>(seed), values, others, overwritten, errors);
    std::fflush(stdout);
    return true;
  }

  const std::uint64_t seed;
  Random random;
  int round = 0;
  int values = 0, others = 0, overwritten = 0, errors = 0;
  std::string why;
};

int times(int usual) {
  const char* given = std::getenv("RETINUE_TEST_ROUNDS");
  return given != nullptr ? usual * std::max(1, std::atoi(given)) : std::max(usual / kSlowdown, 3);
}

TEST(ProcessPoolWildWrites, at_random_places_leave_no_future_pending_and_the_pool_goes_on) {
  std::vector<std::uint64_t> seeds{1, 2, 3};
  if (const char* given = std::getenv("RETINUE_TEST_SEED")) seeds = {std::strtoull(given, nullptr, 0)};
  for (const std::uint64_t seed : seeds) {
    Child child([seed] { return Rounds(seed).run(times(25)) ? 0 : 1; });
    const ChildEnd end = child.end(std::chrono::minutes(60));
    EXPECT_TRUE(end.exited_with(0)) << "seed " << seed << ": " << end << end.output;
    EXPECT_TRUE(end.alone) << "seed " << seed << ": " << end;
    std::fputs(end.output.c_str(), stdout);
  }
}

}  // namespace
