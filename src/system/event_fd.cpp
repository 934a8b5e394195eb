#include "event_fd.hpp"

#include <cerrno>
#include <cstdint>
#include <sys/eventfd.h>
#include <unistd.h>

namespace retinue::detail {

EventFd::EventFd() {
  int error = injected_fault("eventfd");
  if (error == 0) {
    fd_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (fd_) return;
    error = errno;
  }
  throw_call_failed("eventfd", error, "EFD_CLOEXEC | EFD_NONBLOCK");
}

void EventFd::ring() const noexcept {
  const int kept = errno;
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, so the bell is rung already.
  while (::write(fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = kept;
}

bool EventFd::drain() const noexcept {
  const int kept = errno;
  std::uint64_t rings = 0;
  ssize_t n = 0;
  do {
    n = ::read(fd_.get(), &rings, sizeof rings);
  } while (n < 0 && errno == EINTR);
  errno = kept;
  return n == static_cast<ssize_t>(sizeof rings);
}

}  // namespace retinue::detail
