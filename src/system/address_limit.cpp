#include "address_limit.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <string>
#include <unistd.h>

#include <retinue/error.hpp>

#include "calls.hpp"
#include "fd.hpp"

namespace retinue::detail {

std::uint64_t mapped_bytes() {
  const UniqueFd statm(sys::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  if (!statm) throw_call_failed("open", errno, "/proc/self/statm");
  char text[128] = {};
  ssize_t length = 0;
  do length = sys::pread(statm.get(), text, sizeof text - 1, 0);
  while (length < 0 && errno == EINTR);
  if (length < 0) throw_call_failed("pread", errno, "/proc/self/statm");
  unsigned long pages = 0;
  if (std::sscanf(text, "%lu", &pages) != 1) throw Error("/proc/self/statm does not say how much memory is mapped");
  return std::uint64_t{pages} * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

AddressLimit::AddressLimit(std::uint64_t reserved) noexcept : reserved_(reserved), before_(now()) {}

rlimit AddressLimit::now() noexcept {
  rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
  (void)getrlimit(RLIMIT_AS, &limit);
  return limit;
}

bool AddressLimit::was_set() const noexcept {
  const rlimit limit = now();
  return limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur != before_.rlim_cur;
}

bool AddressLimit::is_out_of_reach() const { return was_set() && now().rlim_cur < mapped_bytes(); }

void AddressLimit::leave_room() const {
  if (!was_set()) return;
  rlimit limit = now();
  limit.rlim_cur = limit.rlim_cur < RLIM_INFINITY - reserved_ ? limit.rlim_cur + reserved_ : RLIM_INFINITY;
  limit.rlim_max = std::max(limit.rlim_max, limit.rlim_cur);  // a privilege, if it is more
  if (sys::setrlimit(RLIMIT_AS, &limit) != 0 && is_out_of_reach()) refuse();
}

void AddressLimit::refuse() const {
  const rlimit found = now();
  const rlimit most{found.rlim_max, found.rlim_max};
  (void)sys::setrlimit(RLIMIT_AS, &most);
  throw Error(
      "the initializer has set RLIMIT_AS to " + std::to_string(found.rlim_cur) + " bytes, but " +
      std::to_string(reserved_) +
      " bytes of addresses are reserved for shared memory, and count though they take none. Use "
      "WorkerLimits::address_space instead (in Python, WorkerLimits(address_space=...)), which counts from what a "
      "worker has by then, or set the soft limit alone");
}

}  // namespace retinue::detail
