// Waiting for descriptors, also where the kernel has no memory to wait with.
#pragma once

#include <chrono>
#include <optional>
#include <poll.h>
#include <span>

namespace retinue::detail {

/// Waits until one of `fds` is ready, `longest` at most (nullopt: for ever), and notes in `revents` which; how many are
/// ready. 0, and no `revents`, also without cause: after a signal, and where poll(2) fails (ENOMEM), which then is a nap
/// of a millisecond. So the caller is in a loop, and looks at its condition by itself.
int wait_for_fds(std::span<pollfd> fds, std::optional<std::chrono::nanoseconds> longest) noexcept;

}  // namespace retinue::detail
