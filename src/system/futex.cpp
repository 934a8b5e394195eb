#include "futex.hpp"

#include <cerrno>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "calls.hpp"

namespace retinue::detail {

static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && std::atomic<std::uint32_t>::is_always_lock_free,
              "the kernel sleeps on the plain four bytes of the word");

bool futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint32_t bitset,
                const std::optional<std::chrono::steady_clock::time_point>& deadline) noexcept {
  timespec when{};
  if (deadline) {
    using std::chrono::duration_cast, std::chrono::nanoseconds;
    const auto ns = duration_cast<nanoseconds>(deadline->time_since_epoch()).count();
    if (ns > 0) {  // the kernel refuses times before the epoch; 0 is as much in the past
      when.tv_sec = static_cast<time_t>(ns / 1'000'000'000);
      when.tv_nsec = static_cast<long>(ns % 1'000'000'000);
    }
  }
  const int kept = errno;
  const long rc =
      sys::futex_wait(reinterpret_cast<std::uint32_t*>(&word), expected, deadline ? &when : nullptr, bitset);
  const bool timed_out = rc != 0 && errno == ETIMEDOUT;
  errno = kept;
  return !timed_out;
}

void futex_wake(std::atomic<std::uint32_t>& word, std::uint32_t bitset, int count) noexcept {
  const int kept = errno;
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE_BITSET, count, nullptr, nullptr, bitset);
  errno = kept;
}

}  // namespace retinue::detail
