// What a forked process does not want of its parent's descriptors.
#pragma once

#include <span>

namespace retinue::detail {

/// Ends what the open descriptors stand for in this process, but for 0, 1, 2 and those in `kept`, which ascend: ports, pipes,
/// files and locks are no longer held open by it. Their numbers stay taken, by a descriptor that nothing can be read from or
/// written to (EBADF): an object of the parent's that still has the number cannot reach, or close, a file that is opened later.
///
/// Gives 0, or the errno of the call that failed; then some may have been closed. Allocates nothing. For a process of one thread.
int close_descriptors_but(std::span<const int> kept) noexcept;

}  // namespace retinue::detail
