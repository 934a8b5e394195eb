// Running one round of the plan.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "injected_faults.hpp"
#include "plan.hpp"
#include "record.hpp"

namespace retinue_chaos {

/// What came of a round.
struct RoundResult {
  std::vector<std::string> problems;  ///< empty: all is well
  InjectedFaults injected;
  std::array<std::uint64_t, static_cast<std::size_t>(End::kCount)> ends{};
  std::uint64_t workers_died = 0;
  std::uint64_t retried = 0;
};

/// When it returns, the pool is gone. `progress` is called from many threads.
RoundResult run_round(const Round& round, const std::function<void()>& progress);

}  // namespace retinue_chaos
