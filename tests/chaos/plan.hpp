// What a chaos run is to do: rounds of tasks and of faults, all of it from the seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "task.hpp"

namespace retinue_chaos {

/// A fault injected from outside of the tasks.
enum class FaultKind : std::uint8_t {
  kill,         ///< SIGKILL to a worker, busy, idle or starting
  stop,         ///< SIGSTOP to one; it is continued after a while
  descriptors,  ///< the owner has no descriptors left for a while, and tries to make a pool
  memory,       ///< next to no shared memory may be had for a while
  clock,        ///< the system's clock jumps
  other_pool,   ///< another pool of the same owner comes and goes
  fork_owner,   ///< a child of the owner looks at the pool and makes one of its own
  kill_server,  ///< SIGKILL to the fork server
  terminate,    ///< ProcessPool::terminate
  cancel_rest,  ///< ProcessPool::shutdown(true)
  shut_early,   ///< ProcessPool::shutdown() with futures that nobody has read yet
  kCount
};
std::string_view name_of(FaultKind kind);

/// One fault: as soon as so many tasks of the round have ended.
struct Fault {
  FaultKind kind = FaultKind::kill;
  std::uint32_t at = 0;
  std::uint32_t millis = 0;    ///< how long it lasts
  std::uint64_t selector = 0;  ///< which worker, how far the clock jumps
};

enum class Cancel : std::uint8_t { none, soft, forced };

/// A task and what its owner does about it.
struct PlannedTask {
  Task task;
  std::uint32_t timeout_ms = 0;  ///< 0: none
  std::uint32_t retries = 0;
  Cancel cancel = Cancel::none;
  std::uint32_t cancel_after = 0;  ///< so many further submits
  bool callback = false;           ///< its end is also counted by a callback
};
/// A limit that no task of the plan reaches, unless clocks go wrong.
constexpr std::uint32_t kGenerousMs = 600'000;

/// What one owner thread does next.
struct Order {
  enum class Kind : std::uint8_t { submits, map, map_unordered };
  Kind kind = Kind::submits;
  std::vector<PlannedTask> planned_tasks;
  std::uint32_t window = 0;        ///< submits: the most futures held before the oldest is read
  std::uint32_t look_ahead = 0;    ///< maps
  bool two_inputs = false;         ///< maps: a text for each task besides it
  std::uint32_t leave_after = 0;   ///< maps: 0, or left after so many results
  std::uint32_t inputs_throw = 0;  ///< maps: 0, or the inputs throw after so many
};

struct Round {
  std::uint64_t seed = 0;
  std::uint64_t number = 0;
  // Of the pool:
  unsigned workers = 1;
  std::size_t slots = 4096;
  std::uint64_t max_tasks_per_worker = 0;
  std::size_t max_memory_per_worker = 0;
  int spin_us = -1;  ///< -1: the engine's choice
  bool break_on_worker_death = false;
  bool initializer = false;

  std::vector<std::vector<Order>> threads;
  std::vector<Fault> faults;  ///< in the order of `at`
  std::uint32_t tasks = 0;

  bool has(FaultKind kind) const;
  /// The same for the same plan, whatever comes of it.
  std::uint64_t digest() const;
  std::string describe() const;
};

/// How much of what.
struct Measure {
  std::uint64_t tasks = 600;  ///< of a round, more or less
  double kills_per_task = 0.01;
  std::set<std::string, std::less<>> without;  ///< names of behaviours, shapes and faults that are left out

  bool allows(std::string_view name) const { return !without.contains(name); }
};
/// All names that `without` may have.
std::vector<std::string_view> all_kinds();

Round make_round(std::uint64_t seed, std::uint64_t number, const Measure& measure);

}  // namespace retinue_chaos
