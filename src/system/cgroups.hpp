// Which control groups this process is in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace retinue::detail {

/// The folder of one group in the file system, which has the files of its limits.
struct CgroupFolder {
  std::string path;
  bool v2;  ///< of the second version of control groups, whose files have other names
};

/// The folders of the groups whose limits hold for this process, in the hierarchies that have `controller` ("cpu", "memory"):
/// its own and all above it, as far as this mount namespace shows them. Taken from `root_prefix`/proc/self/{cgroup,mountinfo},
/// with all paths below `root_prefix`; "" is the real machine. Throws bad_alloc only.
std::vector<CgroupFolder> cgroup_folders(const std::string& root_prefix, std::string_view controller);

}  // namespace retinue::detail
