#include <retinue/cpu_count.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <limits>
#include <optional>
#include <sched.h>
#include <sstream>
#include <string>
#include <unistd.h>

#include "calls.hpp"
#include "cgroups.hpp"
#include "cpu_quota.hpp"
#include "text_file.hpp"

namespace retinue {
namespace detail {
namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> first_number(std::istream& in) {
  std::string word;
  if (!(in >> word)) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;  // "max", "-1", damage
  return value;
}

// The CPUs that one group may use, rounded up.
std::uint64_t quota_of(const CgroupFolder& group) {
  const std::string& folder = group.path;
  std::optional<std::uint64_t> quota, period;
  if (group.v2) {
    std::istringstream in(text_of_file(folder + "/cpu.max").value_or(""));
    quota = first_number(in);
    period = first_number(in);
  } else {
    std::istringstream quota_file(text_of_file(folder + "/cpu.cfs_quota_us").value_or(""));
    std::istringstream period_file(text_of_file(folder + "/cpu.cfs_period_us").value_or(""));
    quota = first_number(quota_file);
    period = first_number(period_file);
  }
  if (!quota || !period || *quota == 0 || *period == 0) return kNoLimit;
  return *quota / *period + (*quota % *period != 0 ? 1 : 0);
}

// cpu_set_t ends at 1024 CPUs; the kernel answers EINVAL until the set is as large as its own.
unsigned affinity_count() noexcept {
  for (std::size_t cpus = 1024; cpus <= (std::size_t{1} << 20); cpus *= 2) {
    cpu_set_t* const set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(bytes, set);
    const bool ok = sys::sched_getaffinity(0, bytes, set) == 0;
    const int error = errno;
    const int count = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok && count > 0) return static_cast<unsigned>(count);
    if (ok || error != EINVAL) break;
  }
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<unsigned>(online) : 1U;
}

}  // namespace

unsigned cpu_count_from(const std::string& root_prefix, unsigned affinity) {
  std::uint64_t cpus = affinity;
  // A quota holds for all groups below it, so the tightest counts.
  for (const CgroupFolder& group : cgroup_folders(root_prefix, "cpu")) cpus = std::min(cpus, quota_of(group));
  return static_cast<unsigned>(std::max<std::uint64_t>(cpus, 1));
}

}  // namespace detail

unsigned cpu_count() noexcept {
  const unsigned affinity = detail::affinity_count();
  try {
    return detail::cpu_count_from("", affinity);
  } catch (...) {  // no memory to read the quota with
    return affinity;
  }
}

}  // namespace retinue
