// A chaos run: rounds of random tasks under random faults, each judged, with nothing left behind. See docs/internals/chaos.md.
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <ranges>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <retinue/process_pool.hpp>

#include "board.hpp"
#include "census.hpp"
#include "options.hpp"
#include "processes.hpp"
#include "round.hpp"
#include "watchdog.hpp"

namespace {

using namespace retinue_chaos;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// What came of all rounds so far.
struct Total {
  std::uint64_t rounds = 0, tasks = 0, kills = 0, workers_died = 0, retried = 0, plan = 0;
  std::array<std::uint64_t, static_cast<std::size_t>(End::kCount)> ends{};
  std::array<std::uint64_t, static_cast<std::size_t>(FaultKind::kCount)> fault_kinds{};

  void add(const Round& round, const RoundResult& result) {
    ++rounds;
    tasks += round.tasks;
    workers_died += result.workers_died;
    retried += result.retried;
    plan = plan * 31 + round.digest();
    for (std::size_t i = 0; i < ends.size(); ++i) ends[i] += result.ends[i];
    for (std::size_t i = 0; i < fault_kinds.size(); ++i) fault_kinds[i] += result.injected.counts[i];
    kills = fault_kinds[static_cast<std::size_t>(FaultKind::kill)];
  }

  void report() const {
    std::printf("%llu rounds, %llu tasks:", static_cast<unsigned long long>(rounds),
                static_cast<unsigned long long>(tasks));
    for (std::size_t i = 0; i < ends.size(); ++i)
      if (ends[i] != 0)
        std::printf(" %s %llu,", std::string(name_of(static_cast<End>(i))).c_str(),
                    static_cast<unsigned long long>(ends[i]));
    std::printf("\n%llu workers died, %llu runs repeated; from outside:", static_cast<unsigned long long>(workers_died),
                static_cast<unsigned long long>(retried));
    for (std::size_t i = 0; i < fault_kinds.size(); ++i)
      if (fault_kinds[i] != 0)
        std::printf(" %s %llu,", std::string(name_of(static_cast<FaultKind>(i))).c_str(),
                    static_cast<unsigned long long>(fault_kinds[i]));
    std::printf(" the plan's sum is %016llx\n", static_cast<unsigned long long>(plan));
  }
};

/// The rounds that took longest, and those in which nothing moved for longest: where a pool wakes up by luck, it shows
/// here.
class Slowest {
 public:
  void add(const Round& round, double seconds, std::chrono::milliseconds standstill) {
    keep(by_time_, seconds, round, seconds, standstill);
    keep(by_standstill_, static_cast<double>(standstill.count()), round, seconds, standstill);
  }

  void report() const {
    std::puts("the slowest rounds:");
    for (const auto& [_, line] : std::views::reverse(by_time_)) std::printf("  %s\n", line.c_str());
    std::puts("those in which nothing moved for longest:");
    for (const auto& [_, line] : std::views::reverse(by_standstill_)) std::printf("  %s\n", line.c_str());
  }

 private:
  using Lines = std::multimap<double, std::string>;

  static void keep(Lines& lines, double rank, const Round& round, double seconds,
                   std::chrono::milliseconds standstill) {
    char took[64];
    std::snprintf(took, sizeof took, "%.1f s, nothing moved for %lld ms: ", seconds,
                  static_cast<long long>(standstill.count()));
    lines.emplace(rank, took + round.describe());
    if (lines.size() > 3) lines.erase(lines.begin());
  }

  Lines by_time_, by_standstill_;
};

/// Has the stack of a crash described, for which tables of symbols are read once and kept. A plan may come to it late.
void read_symbols() {
  retinue::ProcessPool pool(1);
  try {
    pool.submit([] { std::raise(SIGABRT); }).get();
  } catch (const retinue::WorkerDied& e) {
    (void)e.stack();
  }
}

class Run {
 public:
  explicit Run(const Options& options, const char* program)
      : options_(options),
        program_(program),
        watchdog_(std::chrono::seconds(options.patience), options.waits, [this] { return under_way(); }) {}

  int run() {
    if (!warm_up()) return 1;
    const auto start = Clock::now();
    auto reported = start;
    for (std::uint64_t n = options_.round.value_or(0); goes_on(n, seconds_since(start));) {
      const Round round = make_round(options_.seed, n, options_.measure);
      if (!is_well(round)) return 1;
      if (!options_.round) ++n;
      if (!options_.quiet && Clock::now() - reported > std::chrono::seconds(10)) {
        reported = Clock::now();
        std::printf("%.0f s: round %llu, %llu tasks, %llu kills\n", seconds_since(start),
                    static_cast<unsigned long long>(n), static_cast<unsigned long long>(total_.tasks),
                    static_cast<unsigned long long>(total_.kills));
        std::fflush(stdout);
      }
    }
    std::printf("chaos: all is well after %.1f s, seed %llu\n", seconds_since(start),
                static_cast<unsigned long long>(options_.seed));
    total_.report();
    if (!options_.quiet) slowest_.report();
    return 0;
  }

 private:
  bool goes_on(std::uint64_t, double seconds) const {
    if (options_.round) return total_.rounds < options_.repeat;
    if (options_.tasks != 0) return total_.tasks < options_.tasks || total_.kills < options_.kills;
    return seconds < options_.seconds;
  }

  // What is made once and kept (the region, tables of symbols, arenas of threads) is made before the first census.
  bool warm_up() {
    Measure small = options_.measure;
    small.tasks = 300;
    for (std::uint64_t n = 0; n < 2; ++n)
      if (!is_well(make_round(options_.seed, n, small), true)) return false;
    read_symbols();
    (void)left_since(Census::now());
    before_ = Census::now();
    total_ = {};
    return true;
  }

  bool is_well(const Round& round, bool warming_up = false) {
    {
      const std::lock_guard lock(mutex_);
      under_way_ = (warming_up ? "the warm-up, " : "") + round.describe();
      repeat_ = options_.to_repeat(round.number);
    }
    RoundResult result;
    const auto start = Clock::now();
    (void)watchdog_.take_standstill();
    try {
      result = run_round(round, [this] { watchdog_.progress(); });
    } catch (const std::exception& e) {
      result.problems.push_back(std::string("the round itself threw ") + e.what());
    }
    total_.add(round, result);
    const std::string left = warming_up ? "" : left_since(before_);
    watchdog_.progress();
    if (!warming_up) slowest_.add(round, seconds_since(start), watchdog_.take_standstill());
    if (!left.empty()) result.problems.push_back("it leaves behind: " + left);
    if (result.problems.empty()) return true;
    std::fflush(stdout);
    std::fprintf(stderr, "chaos: %s\n", under_way_.c_str());
    constexpr std::size_t kMax = 20;
    for (std::size_t i = 0; i < result.problems.size() && i < kMax; ++i)
      std::fprintf(stderr, "  WRONG: %s\n", result.problems[i].c_str());
    if (result.problems.size() > kMax) std::fprintf(stderr, "  and %zu more\n", result.problems.size() - kMax);
    std::fprintf(stderr, "repeat it with\n  %s %s --repeat 100\n", program_, repeat_.c_str());
    kill_descendants();
    return false;
  }

  std::string under_way() {
    const std::lock_guard lock(mutex_);
    return under_way_ + "\nrepeat it with\n  " + program_ + " " + repeat_ + " --repeat 100";
  }

  const Options& options_;
  const char* program_;
  std::mutex mutex_;
  std::string under_way_ = "the warm-up", repeat_;
  Total total_;
  Slowest slowest_;
  Census before_;
  Watchdog watchdog_;
};

int show_plan(const Options& options) {
  std::uint64_t sum = 0, tasks = 0;
  const std::uint64_t first = options.round.value_or(0), last = options.round ? first : first + 19;
  for (std::uint64_t n = first; options.tasks != 0 ? tasks < options.tasks : n <= last; ++n) {
    const Round round = make_round(options.seed, n, options.measure);
    std::puts(round.describe().c_str());
    tasks += round.tasks;
    sum = sum * 31 + round.digest();
  }
  std::printf("the plan's sum is %016llx\n", static_cast<unsigned long long>(sum));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = Options::parse(argc, argv);
  if (options.plan_only) return show_plan(options);
  board();
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // so that no orphan of a worker gets away
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  if (!options.quiet) std::printf("chaos: seed %llu\n", static_cast<unsigned long long>(options.seed));
  std::fflush(stdout);
  return Run(options, argv[0]).run();
}
