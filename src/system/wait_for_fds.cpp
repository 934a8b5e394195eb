#include "wait_for_fds.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "calls.hpp"

namespace retinue::detail {

int wait_for_fds(std::span<pollfd> fds, std::optional<std::chrono::nanoseconds> longest) noexcept {
  using namespace std::chrono;
  timespec time{};
  if (longest) {
    const nanoseconds left = std::max(*longest, nanoseconds::zero());
    time.tv_sec = duration_cast<seconds>(left).count();
    time.tv_nsec = (left % seconds(1)).count();
  }
  const int ready = sys::ppoll(fds.data(), fds.size(), longest ? &time : nullptr, nullptr);
  if (ready >= 0) return ready;
  for (pollfd& fd : fds) fd.revents = 0;
  if (errno != EINTR) {
    const timespec nap{0, 1'000'000};
    ::nanosleep(&nap, nullptr);
  }
  return 0;
}

}  // namespace retinue::detail
