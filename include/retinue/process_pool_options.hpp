// How a pool of worker processes is made.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include <retinue/worker_limits.hpp>

namespace retinue {

/// How a ProcessPool is made. Every default is meant to be right.
struct ProcessPoolOptions {
  /// Worker processes, at most 1024; 0 means `cpu_count()`.
  unsigned workers = 0;
  /// Called once in each worker before its first task, also in replacements. Any closure works: workers
  /// are forked with it. If it throws, the pool ends with PoolClosed saying what was thrown.
  std::function<void()> initializer;
  /// A worker is replaced after so many tasks; 0: never.
  std::uint64_t max_tasks_per_worker = 0;
  /// A worker is replaced after the task that left it with more private memory than this many bytes, beyond what it
  /// inherits from the owner; 0: never.
  std::size_t max_memory_per_worker = 0;
  /// What tasks may not do: how much CPU time, memory and descriptors they may use, whether they may reach a network or run
  /// programs, and as which user.
  WorkerLimits limits;
  /// Workers close the descriptors that they inherit, but for standard input, output and error, for what Retinue needs
  /// itself, and for `keep_descriptors`. So no pool keeps a port taken, a file locked, or the reader of a pipe waiting for its
  /// end, once the owner has closed it. The numbers stay taken in the workers, and fail with EBADF. The initializer comes
  /// after that; what it opens stays. Log files and connections that tasks are to find open have to be kept.
  bool close_descriptors = false;
  /// Those that workers keep all the same. Without `close_descriptors` they keep all.
  std::vector<int> keep_descriptors;
  /// The death of a worker ends the whole pool with PoolClosed, rather than costing its task alone: for programs
  /// that cannot go on with a part of their results.
  bool break_on_worker_death = false;
  /// Tasks that may be in shared memory at once (256 bytes each), rounded up to a power of two; further
  /// ones wait in the owner's memory.
  std::size_t slot_count = 4096;
  /// The longest time a worker or a waiting thread polls before it sleeps. Unset, the engine chooses by
  /// what it measures, never more than 0.1 ms; zero means never, for machines that others use too.
  std::optional<std::chrono::nanoseconds> spin;
};

}  // namespace retinue
