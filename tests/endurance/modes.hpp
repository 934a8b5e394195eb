// What the modes of the endurance program share: its options, its samples, and how it reports them.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "growth.hpp"

namespace endurance {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

/// A task of next to nothing.
inline int next(int x) { return x + 1; }

struct Options {
  std::uint64_t count = 0;  ///< of pools, workers or tasks; 0: what the mode is meant for
  unsigned workers = 4;
  std::chrono::seconds seconds{3600};
  std::chrono::seconds sample{20};
  std::chrono::seconds rest{5};
  std::chrono::milliseconds pause{0};
  std::uint64_t seed = 1;
  std::string csv;
  Allowed allowed;
};

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A run that computes something wrong has not endured.
inline void expect(bool right, const std::string& what) {
  if (!right) throw std::runtime_error("wrong: " + what);
}

/// The samples of one run: reported as they come, written to a file if asked, judged at the end.
class Record {
 public:
  Record(const Options& options, std::string what);
  /// Takes a sample of this process. It is reported with `progress`: each sample on a terminal, else one a minute.
  void sample(const std::string& progress);
  /// Prints the table. False, and says what, if something grew.
  bool judge() const;

 private:
  const Options& options_;
  std::string what_;
  Clock::time_point start_ = Clock::now(), told_ = start_;
  std::vector<Usage> samples_;
  std::ofstream csv_;
};

/// Each prints what it finds. False if something grew; throws what went wrong.
bool run_pools(const Options& options);
bool run_workers(const Options& options);
bool run_tasks(const Options& options);
bool run_steady(const Options& options);

}  // namespace endurance
