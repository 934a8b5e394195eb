// A pool whose processes start as a program anew, not as forks of the owner as it is.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <retinue/detail/processes/process_hooks.hpp>

#include "worker.hpp"

namespace retinue::detail {

/// A program on its way to become a pool's fork server. Made by the owner before the fork, so that between fork and
/// exec nothing is allocated. The program is given the plan as its last argument, or in a file, and calls
/// `attach_to_owner` with it.
///
/// Killed in between it is a fork server that died: the owner's constructor throws.
class FreshStart {
 public:
  FreshStart(const PoolPlan& plan, const FreshProgram& program);
  /// In the forked child. Does not return; where the program cannot be started, with exit code 127.
  [[noreturn]] void exec() const noexcept;

 private:
  std::vector<std::string> words_;
  std::vector<char*> arguments_;
  std::vector<int> descriptors_;          // that the program inherits
  std::optional<std::vector<int>> kept_;  // the others it does not inherit even if they stay open over exec; ascending
  pid_t owner_;
};

}  // namespace retinue::detail
