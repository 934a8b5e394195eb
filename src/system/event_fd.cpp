#include "event_fd.hpp"

#include <cerrno>
#include <cstdint>
#include <sys/eventfd.h>

#include "calls.hpp"

namespace retinue::detail {

EventFd::EventFd() {
  fd_.reset(sys::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd_) throw_call_failed("eventfd", errno, "EFD_CLOEXEC | EFD_NONBLOCK");
}

void EventFd::ring() const noexcept {
  const int kept = errno;
  const std::uint64_t one = 1;
  // EAGAIN means that the counter is full, so the bell is rung already.
  while (sys::write(fd_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = kept;
}

bool EventFd::drain() const noexcept {
  const int kept = errno;
  std::uint64_t rings = 0;
  ssize_t n = 0;
  do {
    n = sys::read(fd_.get(), &rings, sizeof rings);
  } while (n < 0 && errno == EINTR);
  errno = kept;
  return n == static_cast<ssize_t>(sizeof rings);
}

}  // namespace retinue::detail
