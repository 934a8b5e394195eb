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
#include <string_view>
#include <unistd.h>
#include <vector>

#include "calls.hpp"
#include "cpu_quota.hpp"
#include "text_file.hpp"

namespace retinue {
namespace detail {
namespace {

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

// One line of /proc/self/mountinfo, of a file system of cgroups that has CPU quotas.
struct CgroupMount {
  std::string root;   // which group of the hierarchy is seen ...
  std::string point;  // ... at which folder
};

// What tells the two versions apart: where the groups are and how a folder says its quota.
struct Hierarchy {
  bool v2;
  std::optional<std::string> group;  // the process's own group in it
  std::vector<CgroupMount> mounts;
};

bool list_contains(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == word) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

// mountinfo writes blanks, newlines and backslashes in paths as \ooo.
std::string unescaped(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && octal(text[i + 1]) && octal(text[i + 2]) && octal(text[i + 3])) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

void read_groups(const std::string& file, Hierarchy& v1, Hierarchy& v2) {
  std::istringstream in(text_of_file(file).value_or(""));
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    if (controllers.empty()) {
      v2.group = line.substr(second + 1);
    } else if (list_contains(controllers, "cpu")) {
      v1.group = line.substr(second + 1);
    }
  }
}

void read_mounts(const std::string& file, Hierarchy& v1, Hierarchy& v2) {
  std::istringstream in(text_of_file(file).value_or(""));
  for (std::string line; std::getline(in, line);) {
    // "36 31 0:33 /root /mount/point rw,relatime any:number of:fields - type source options"
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line.substr(0, dash));
    std::istringstream after(line.substr(dash + 3));
    std::string id, parent, device, root, point, type, source, options;
    if (!(before >> id >> parent >> device >> root >> point) || !(after >> type)) continue;
    after >> source >> options;
    if (type == "cgroup2") {
      v2.mounts.push_back({unescaped(root), unescaped(point)});
    } else if (type == "cgroup" && list_contains(options, "cpu")) {
      v1.mounts.push_back({unescaped(root), unescaped(point)});
    }
  }
}

std::optional<std::uint64_t> first_number(std::istream& in) {
  std::string word;
  if (!(in >> word)) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;  // "max", "-1", damage
  return value;
}

// The CPUs that the one group at `folder` may use, rounded up.
std::uint64_t quota_of(const std::string& folder, bool v2) {
  std::optional<std::uint64_t> quota, period;
  if (v2) {
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

// The way from `root` down to `group`, "" if they are one; nullopt if `group` is not below `root`.
std::optional<std::string> path_below(std::string_view root, std::string_view group) {
  if (group.find("/..") != std::string_view::npos) return std::nullopt;  // above this cgroup namespace
  if (root == "/") root = "";
  if (!group.starts_with(root)) return std::nullopt;
  group.remove_prefix(root.size());
  if (!group.empty() && group.front() != '/') return std::nullopt;
  while (!group.empty() && group.back() == '/') group.remove_suffix(1);
  return std::string(group);
}

// A quota holds for all groups below it, so the tightest on the way up counts. A folder that this mount
// namespace does not show is passed over; the ones above it still count.
std::uint64_t tightest(const std::string& mount_folder, std::string below, bool v2) {
  std::uint64_t cpus = quota_of(mount_folder, v2);
  while (!below.empty()) {
    cpus = std::min(cpus, quota_of(mount_folder + below, v2));
    below.resize(below.rfind('/') == std::string::npos ? 0 : below.rfind('/'));
  }
  return cpus;
}

std::uint64_t limit_of(const std::string& root_prefix, const Hierarchy& hierarchy) {
  if (!hierarchy.group) return kNoLimit;
  std::uint64_t cpus = kNoLimit;
  bool found = false;
  for (const CgroupMount& mount : hierarchy.mounts) {
    if (const auto below = path_below(mount.root, *hierarchy.group)) {
      found = true;
      cpus = std::min(cpus, tightest(root_prefix + mount.point, *below, hierarchy.v2));
    }
  }
  if (found) return cpus;
  // In some containers the two files speak of different roots; what is mounted is then the container's own.
  for (const CgroupMount& mount : hierarchy.mounts) {
    cpus = std::min(cpus, quota_of(root_prefix + mount.point, hierarchy.v2));
  }
  return cpus;
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
  Hierarchy v1{false, std::nullopt, {}};
  Hierarchy v2{true, std::nullopt, {}};
  read_groups(root_prefix + "/proc/self/cgroup", v1, v2);
  read_mounts(root_prefix + "/proc/self/mountinfo", v1, v2);
  const std::uint64_t quota = std::min(limit_of(root_prefix, v1), limit_of(root_prefix, v2));
  return static_cast<unsigned>(std::max<std::uint64_t>(std::min<std::uint64_t>(affinity, quota), 1));
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
