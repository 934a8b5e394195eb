// How much memory large arguments, results and shared arrays take, and how much they may.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <cstdint>
#include <optional>

namespace retinue {

/// The memory that this process shares with the workers of all its pools.
struct SharedMemoryUsage {
  std::uint64_t bytes_in_use = 0;    ///< blocks now in use: arguments, results not yet released, shared arrays
  std::uint64_t bytes_peak = 0;      ///< the most that bytes_in_use has been
  std::uint64_t blocks = 0;          ///< how many blocks that is
  std::uint64_t bytes_warm = 0;      ///< kept by this process for its next blocks, see keep_shared_memory
  std::uint64_t bytes_reserved = 0;  ///< what the kernel counts: the above, slots, and what workers keep
  std::uint64_t bytes_limit = 0;     ///< 0: none
};

/// Thread-safe; takes microseconds.
SharedMemoryUsage shared_memory_usage();

/// The most memory that this process and its workers may share, in bytes; 0: as much as the machine has. What would go
/// beyond it throws ResourceExhausted: in the owner from `submit`, `map` or `SharedArray`, and in a worker from the task
/// whose result finds no room. What is in use already stays. Holds for all pools of this process, at once. Memory that
/// workers keep for their next results counts; with a limit it is kept for no more than two idle seconds, unless
/// keep_shared_memory asks for it.
/// The environment variable RETINUE_SHARED_MEMORY_LIMIT ("500M", "4G") sets it from outside. Thread-safe.
void limit_shared_memory(std::uint64_t bytes);

/// How many bytes of memory that nobody uses are kept for the next arguments and results while this process and its workers
/// are idle, half of it here, half in the workers. Fresh memory costs several times what the copy into it costs. The
/// default, std::nullopt, is a sixteenth of what the machine (or the control group's limit) has left. What is beyond it is
/// returned to the system after two idle seconds; all of it when less than an eighth of the machine's memory is left, which
/// is looked at every two seconds, and with the last pool. 0: nothing is kept for longer than two idle seconds.
/// RETINUE_SHARED_MEMORY_KEPT ("500M", "0") in the environment sets it from outside. Thread-safe.
void keep_shared_memory(std::optional<std::uint64_t> bytes);

/// Returns memory that is kept for the next blocks to the system now; idle workers do so as soon as they are told, within
/// milliseconds. Thread-safe.
void trim_shared_memory();

/// Asks the kernel for pages of 2 MB in shared memory, which spares page faults and address translation when blocks of
/// many megabytes are walked through. Best called before the first pool or SharedArray is made: workers that are there
/// already go on with small pages. RETINUE_HUGE_PAGES=1 in the environment asks from outside.
///
/// Returns whether the kernel is set to give them: it must have one of `advise`, `within_size` or `always` in
/// /sys/kernel/mm/transparent_hugepage/shmem_enabled, which most distributions set to `never`. Thread-safe.
bool use_huge_pages();

}  // namespace retinue
