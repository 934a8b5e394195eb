// A descriptor that names one process for good, however pids are reused.
#pragma once

#include <sys/types.h>

#include "fd.hpp"

namespace retinue::detail {

/// A descriptor of the process `pid`, close-on-exec; poll(2) says POLLIN once it has ended. Empty if there
/// is no such process (it has been reaped). Throws ResourceExhausted (EMFILE, ENFILE, ENOMEM) or Error.
UniqueFd pidfd_open(pid_t pid);

}  // namespace retinue::detail
