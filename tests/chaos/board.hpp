// Memory that the runner and all processes of its pools see.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace retinue_chaos {

/// The most tasks that a round may have.
constexpr std::size_t kMaxTasks = 1 << 16;

struct Board {
  std::atomic<std::int64_t> clock_jump_ns;    ///< by how much the system's clock is wrong just now, in every process
  std::atomic<std::uint64_t> started;         ///< runs of all tasks
  std::atomic<std::uint8_t> runs[kMaxTasks];  ///< how often the task of this number has begun
};

/// Made by the first call, which must come before the first fork; never unmapped.
Board& board();

}  // namespace retinue_chaos
