#include "processes.hpp"

#include <dirent.h>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace retinue_test {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = ::readdir(dir))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  ::closedir(dir);
  return names;
}

ProcessInfo process_info(pid_t pid) {
  const std::string stat = text_of("/proc/" + std::to_string(pid) + "/stat");
  const auto open = stat.find('('), close = stat.rfind(')');
  ProcessInfo info;
  if (open == std::string::npos || close == std::string::npos) return info;
  info.pid = pid;
  info.name = stat.substr(open + 1, close - open - 1);
  std::istringstream rest(stat.substr(close + 2));
  rest >> info.state >> info.parent;
  return info;
}

bool is_gone(pid_t pid) { return !process_info(pid).alive(); }

std::map<pid_t, ProcessInfo> descendants_of(pid_t root) {
  std::map<pid_t, ProcessInfo> all, found;
  for (const std::string& name : names_in("/proc"))
    if (name[0] >= '0' && name[0] <= '9')
      if (const ProcessInfo info = process_info(std::stoi(name)); info.pid != 0) all[info.pid] = info;
  for (bool more = true; more;) {
    more = false;
    for (const auto& [pid, info] : all)
      if (found.count(pid) == 0 && (info.parent == root || found.count(info.parent) != 0)) {
        found[pid] = info;
        more = true;
      }
  }
  return found;
}

std::vector<pid_t> fork_servers_of(pid_t owner) {
  std::vector<pid_t> servers;
  for (const auto& [pid, info] : descendants_of(owner))
    if (info.parent == owner && info.name == "retinue-server" && info.state != 'Z') servers.push_back(pid);
  return servers;
}

std::string inode_of_region(const std::string& maps) {
  std::istringstream lines(maps);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("memfd:retinue") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string range, flags, offset, device, inode;
    fields >> range >> flags >> offset >> device >> inode;
    return inode;
  }
  return "";
}

std::set<pid_t> holders_of_region() {
  std::set<pid_t> pids;
  const std::string inode = inode_of_region(text_of("/proc/self/maps"));
  if (inode.empty()) return pids;
  for (const std::string& name : names_in("/proc")) {
    if (name[0] < '0' || name[0] > '9' || name == std::to_string(::getpid())) continue;
    const ProcessInfo info = process_info(std::stoi(name));
    if (info.name.rfind("retinue-", 0) != 0) continue;
    if (text_of("/proc/" + name + "/maps").find(" " + inode + " ") != std::string::npos) pids.insert(info.pid);
  }
  return pids;
}

}  // namespace retinue_test
