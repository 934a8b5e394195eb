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

}  // namespace retinue::detail
