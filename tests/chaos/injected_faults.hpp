// What was really done to a round, as against what was planned.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <sys/types.h>
#include <vector>

#include "plan.hpp"

namespace retinue_chaos {

/// Written by the fault thread; read when its thread has ended.
struct InjectedFaults {
  std::map<pid_t, unsigned> kills;  ///< of workers, by their pids
  std::array<std::uint64_t, static_cast<std::size_t>(FaultKind::kCount)> counts{};
  std::vector<std::string> problems;  ///< what else went wrong on the way

  std::uint64_t count(FaultKind kind) const { return counts[static_cast<std::size_t>(kind)]; }
  void add(FaultKind kind) { ++counts[static_cast<std::size_t>(kind)]; }
};

}  // namespace retinue_chaos
