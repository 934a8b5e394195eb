// How much memory there is, and how much of it can be had.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cgroups.hpp"

namespace retinue::detail {

/// In bytes.
struct MachineMemory {
  std::uint64_t total = 0;
  std::uint64_t available = 0;  ///< without swapping, by the kernel's estimate
  std::uint64_t swap_free = 0;

  /// Less than an eighth can still be had.
  bool is_short() const noexcept { return available < total / 8; }
};

/// What /proc/meminfo says, in some tens of microseconds; nullopt where it does not.
std::optional<MachineMemory> machine_memory() noexcept;

/// The same, cut to the tightest memory limit of the control groups this process is in: total is then that limit, available
/// what is left of it, where files that are only cached count as left. Which groups these are is found out once. For one
/// thread at a time.
class MemoryWatch {
 public:
  /// `root_prefix`: where /proc and /sys are, "" for the real ones.
  explicit MemoryWatch(std::string root_prefix = "") : root_prefix_(std::move(root_prefix)) {}
  /// Nullopt where the kernel does not say, or for want of memory.
  std::optional<MachineMemory> look() noexcept;

 private:
  std::string root_prefix_;
  std::optional<std::vector<CgroupFolder>> groups_;
};

}  // namespace retinue::detail
