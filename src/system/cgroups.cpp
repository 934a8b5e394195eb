#include "cgroups.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <sstream>

#include "text_file.hpp"

namespace retinue::detail {
namespace {

// One line of /proc/self/mountinfo, of a file system of cgroups.
struct CgroupMount {
  std::string root;   // which group of the hierarchy is seen ...
  std::string point;  // ... at which folder
};

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

void read_groups(const std::string& file, std::string_view controller, Hierarchy& v1, Hierarchy& v2) {
  std::istringstream in(text_of_file(file).value_or(""));
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1);
    if (controllers.empty()) {
      v2.group = line.substr(second + 1);
    } else if (list_contains(controllers, controller)) {
      v1.group = line.substr(second + 1);
    }
  }
}

void read_mounts(const std::string& file, std::string_view controller, Hierarchy& v1, Hierarchy& v2) {
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
    } else if (type == "cgroup" && list_contains(options, controller)) {
      v1.mounts.push_back({unescaped(root), unescaped(point)});
    }
  }
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

// From the group at `below` up to the mounted one. What this mount namespace does not show is passed over by who reads.
void add_way_up(std::vector<CgroupFolder>& folders, const std::string& mount_folder, std::string below, bool v2) {
  while (!below.empty()) {
    folders.push_back({mount_folder + below, v2});
    below.resize(below.rfind('/') == std::string::npos ? 0 : below.rfind('/'));
  }
  folders.push_back({mount_folder, v2});
}

void add_folders(std::vector<CgroupFolder>& folders, const std::string& root_prefix, const Hierarchy& hierarchy) {
  if (!hierarchy.group) return;
  bool found = false;
  for (const CgroupMount& mount : hierarchy.mounts) {
    if (const auto below = path_below(mount.root, *hierarchy.group)) {
      found = true;
      add_way_up(folders, root_prefix + mount.point, *below, hierarchy.v2);
    }
  }
  if (found) return;
  // In some containers the two files speak of different roots; what is mounted is then the container's own.
  for (const CgroupMount& mount : hierarchy.mounts) folders.push_back({root_prefix + mount.point, hierarchy.v2});
}

}  // namespace

std::vector<CgroupFolder> cgroup_folders(const std::string& root_prefix, std::string_view controller) {
  Hierarchy v1{false, std::nullopt, {}};
  Hierarchy v2{true, std::nullopt, {}};
  read_groups(root_prefix + "/proc/self/cgroup", controller, v1, v2);
  read_mounts(root_prefix + "/proc/self/mountinfo", controller, v1, v2);
  std::vector<CgroupFolder> folders;
  add_folders(folders, root_prefix, v1);
  add_folders(folders, root_prefix, v2);
  return folders;
}

}  // namespace retinue::detail
