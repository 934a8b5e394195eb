#include "pidfd.hpp"

#include <cerrno>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>

namespace retinue::detail {

// Plain system calls: glibc has wrappers only since 2.36.
UniqueFd pidfd_open(pid_t pid) {
  int error = injected_fault("pidfd_open");
  if (error == 0) {
    const long fd = ::syscall(SYS_pidfd_open, pid, 0U);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    error = errno;
  }
  if (error == ESRCH) return UniqueFd();
  throw_call_failed("pidfd_open", error, "pid " + std::to_string(pid));
}

bool pidfd_send_signal(int pidfd, int signal) {
  int error = injected_fault("pidfd_send_signal");
  if (error == 0) {
    if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0U) == 0) return true;
    error = errno;
  }
  if (error == ESRCH) return false;
  throw_call_failed("pidfd_send_signal", error,
                    "fd " + std::to_string(pidfd) + ", signal " + std::to_string(signal));
}

}  // namespace retinue::detail
