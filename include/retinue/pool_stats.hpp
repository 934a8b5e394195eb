// What a pool of worker processes reports about itself.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <cstdint>

namespace retinue {

/// What a pool has done so far. Counts since it was made.
struct PoolStats {
  std::uint64_t submitted = 0;     ///< tasks submitted
  std::uint64_t finished = 0;      ///< tasks ended, in whichever way
  std::uint64_t failed = 0;        ///< of these: with an exception, a death, a timeout, or the pool's end
  std::uint64_t cancelled = 0;     ///< of these: cancelled
  std::uint64_t retried = 0;       ///< runs repeated after a death
  std::uint64_t waiting = 0;       ///< now waiting in the owner's memory for a slot
  std::uint64_t in_slots = 0;      ///< now in slots: ready, running or done and not yet read
  unsigned workers = 0;            ///< how many it has
  unsigned workers_alive = 0;      ///< now running
  std::uint64_t workers_died = 0;  ///< ended other than by their own will or the pool's
  std::uint64_t workers_started = 0;
  std::uint64_t bytes_in_use = 0;  ///< blocks of the region in use, all pools of this process
  std::uint64_t bytes_peak = 0;    ///< the most that bytes_in_use has been
  std::uint64_t blocks = 0;        ///< how many blocks are in use
  std::uint64_t bytes_warm = 0;    ///< reserved and kept for the next block
};

}  // namespace retinue
