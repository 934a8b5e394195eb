#include "pidfd.hpp"

#include <cerrno>
#include <string>

#include "calls.hpp"

namespace retinue::detail {

UniqueFd pidfd_open(pid_t pid) {
  UniqueFd fd(sys::pidfd_open(pid));
  if (!fd && errno != ESRCH) throw_call_failed("pidfd_open", errno, "pid " + std::to_string(pid));
  return fd;
}

bool pidfd_send_signal(int pidfd, int signal) {
  if (sys::pidfd_send_signal(pidfd, signal) == 0) return true;
  if (errno == ESRCH) return false;
  throw_call_failed("pidfd_send_signal", errno, "fd " + std::to_string(pidfd) + ", signal " + std::to_string(signal));
}

}  // namespace retinue::detail
