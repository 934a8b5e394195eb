// A descriptor that names one process for good, however pids are reused.
#pragma once

#include <sys/types.h>

#include "fd.hpp"

namespace retinue::detail {

/// A descriptor of the process `pid`, close-on-exec; poll(2) says POLLIN once it has ended. Empty if there
/// is no such process (it has been reaped). Throws ResourceExhausted (EMFILE, ENFILE, ENOMEM) or Error.
UniqueFd pidfd_open(pid_t pid);

/// Sends `signal` to the process behind `pidfd`; false if it has ended and been reaped. Throws Error where
/// the kernel refuses (EPERM, EINVAL). Async-signal-safe when it does not throw.
bool pidfd_send_signal(int pidfd, int signal);

}  // namespace retinue::detail
