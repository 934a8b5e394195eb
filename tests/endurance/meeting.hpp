// A task that every worker of a pool runs at the same time.
#pragma once

#include <atomic>
#include <climits>
#include <cstdint>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <retinue/shared_array.hpp>

namespace endurance {

/// Where `n` tasks wait for each other: how many have come, and a futex word that is 1 once all have.
struct Meeting {
  std::uint32_t come = 0, over = 0;
};

/// Ends only when `n` of them run, so no two are the same worker's. It sleeps meanwhile: a thousand processes that poll
/// leave no CPU to those that are to come.
inline pid_t meet(retinue::SharedSpan<Meeting> at, std::uint32_t n) {
  if (std::atomic_ref(at[0].come).fetch_add(1) + 1 == n) {
    std::atomic_ref(at[0].over).store(1);
    ::syscall(SYS_futex, &at[0].over, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  }
  while (std::atomic_ref(at[0].over).load() == 0) ::syscall(SYS_futex, &at[0].over, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  return ::getpid();
}

}  // namespace endurance
