// The command line of the chaos runner.
#pragma once

#include <cstdint>
#include <optional>

#include "plan.hpp"

namespace retinue_chaos {

struct Options {
  std::uint64_t seed = 0;
  double seconds = 20;
  std::uint64_t tasks = 0;  ///< 0: as many as the time allows
  std::uint64_t kills = 0;
  std::optional<std::uint64_t> round;  ///< this one alone
  std::uint64_t repeat = 1;            ///< how often
  unsigned patience = 30;
  bool plan_only = false, waits = false, quiet = false;
  Measure measure;

  /// Exits after --help and after a mistake.
  static Options parse(int argc, char** argv);
  /// What repeats a round, to be appended to the program's name.
  std::string to_repeat(std::uint64_t round_number) const;
};

}  // namespace retinue_chaos
