// Whether what came of a round is what may come of it.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "orders.hpp"
#include "injected_faults.hpp"
#include "plan.hpp"
#include "record.hpp"

namespace retinue_chaos {

/// Judges all tasks of a round, once it is over: each must have ended as the serial run does, or in a way for which
/// there is a cause among the faults that were really injected. A kill accounts for one lost task at most.
class Verdict {
 public:
  Verdict(const Round& round, const InjectedFaults& injected);

  void judge(const PlannedTask& planned, Record& record, bool in_map);
  void judge(const MapEnd& map);
  /// After all tasks.
  void judge(const retinue::PoolStats& stats);

  const std::vector<std::string>& problems() const { return problems_; }

 private:
  void complain(const PlannedTask& planned, const Record& record, const std::string& why);
  std::string why_not(const PlannedTask& planned, const Record& record, unsigned runs);
  std::string why_not_ended(const PlannedTask& planned, const Record& record);
  std::string why_not_died(const PlannedTask& planned, const Record& record);
  bool may_be_cancelled() const;
  bool may_be_closed() const;
  bool may_be_exhausted(const Task& task) const;

  const Round& round_;
  const InjectedFaults& injected_;
  std::map<pid_t, unsigned> excused_;  ///< deaths by kills from outside
  std::uint64_t deadly_runs_ = 0;
  std::uint64_t deaths_ = 0;
  bool hoards_ = false;
  bool deaths_planned_ = false;
  std::vector<std::string> problems_;
};

}  // namespace retinue_chaos
