// Limits that a process sets for itself, and can never lift again.
#pragma once

#include <cstdint>
#include <sys/types.h>

#include <retinue/worker_limits.hpp>

namespace retinue::detail {

/// WorkerLimits, looked up and checked: plain numbers that travel to a program started anew.
struct Confinement {
  static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};
  static constexpr unsigned kMaxGroups = 64;

  std::uint64_t cpu_seconds = kUnlimited;
  std::uint64_t address_space = kUnlimited;
  std::uint64_t open_files = kUnlimited;
  std::uint8_t any = 0;
  std::uint8_t no_network = 0;
  std::uint8_t no_programs = 0;
  std::uint8_t other_user = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::uint32_t group_count = 0;
  gid_t groups[kMaxGroups] = {};
};

/// In the owner. Throws Error for a user that does not exist or that this process may not become, for limits of nothing, and
/// for filters on a kind of machine for which there are none.
Confinement confinement_of(const WorkerLimits& limits);

/// In the worker, for all of its threads. Throws Error naming the call that failed. A change of user clears the signal that
/// the process gets at its parent's death: the caller sets it again.
void confine(const Confinement& confinement);

/// Gives the process `seconds` more of CPU time, counted from what it has used. False, with errno, if the system refuses:
/// then what was granted before holds, if anything was.
bool grant_cpu_seconds(std::uint64_t seconds) noexcept;

}  // namespace retinue::detail
