#include "fd.hpp"

#include <cerrno>
#include <system_error>
#include <unistd.h>

#include <retinue/error.hpp>

namespace retinue::detail {
namespace {

bool means_exhausted(int error_number) noexcept {
  switch (error_number) {
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case EAGAIN:
    case EFBIG:
    case EDQUOT:
    case ENOBUFS:
    case EOVERFLOW: return true;
    default: return false;
  }
}

}  // namespace

void UniqueFd::reset(int fd) noexcept {
  const int old = std::exchange(fd_, fd);
  if (old < 0) return;
  const int kept = errno;
  ::close(old);  // never retried: on Linux the descriptor is gone even after EINTR
  errno = kept;
}

void throw_call_failed(const char* call, int error_number, const std::string& argument) {
  const std::string what = std::string(call) + "(" + argument + ")";
  if (means_exhausted(error_number)) throw ResourceExhausted(what, error_number);
  throw Error(what + ": " + std::generic_category().message(error_number) + " (errno " + std::to_string(error_number) +
              ")");
}

}  // namespace retinue::detail
