// How long a task may take before its own timeout begins to count.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

namespace retinue::detail {

inline std::atomic<std::chrono::nanoseconds> least_loading_limit{std::chrono::seconds(60)};

/// How long a task with that timeout may take to load its function and its arguments.
inline std::chrono::nanoseconds loading_limit(std::chrono::nanoseconds timeout) noexcept {
  return std::max(timeout, least_loading_limit.load(std::memory_order_relaxed));
}

/// For tests, which cannot wait for so long.
inline void set_least_loading_limit(std::chrono::nanoseconds time) noexcept { least_loading_limit.store(time); }

}  // namespace retinue::detail
