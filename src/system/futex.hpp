// Sleeping on a word of shared memory, between processes.
#pragma once

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <optional>

namespace retinue::detail {

/// Sleeps while `word` holds `expected`, until a wake whose bitset meets `bitset` or until `deadline`
/// (nullopt: for ever). False only when the deadline passed; true on a wake, when the word already differs,
/// and also without cause (a signal): the caller looks at its condition again. `bitset` is not 0.
///
/// Any process that maps the word may call it. Nothing is held while asleep: a sleeper that is killed
/// leaves nothing behind.
bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint32_t bitset,
                const std::optional<std::chrono::steady_clock::time_point>& deadline) noexcept;

/// Wakes up to `count` sleepers on `word`, in any process, whose bitset meets `bitset`. Async-signal-safe;
/// keeps errno.
void futex_wake(std::atomic<std::uint32_t>& word, std::uint32_t bitset, int count = INT_MAX) noexcept;

}  // namespace retinue::detail
