// What a process and all that it has started use at one moment, as the kernel counts it.
#pragma once

#include <cctype>
#include <dirent.h>
#include <fstream>
#include <malloc.h>
#include <map>
#include <string>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>
#include <vector>

namespace endurance {

/// Memory in KB. `all` is the owner, its fork servers and their workers, and whatever else they have started.
struct Usage {
  long owner_allocated = 0;  ///< by malloc; known of this process only
  long owner_private = 0;    ///< of the owner alone, not shared with any file
  long owner_resident = 0;
  long workers_pss = 0;  ///< Pss: what is shared by n processes counts an nth for each
  long servers_pss = 0;
  long all_pss = 0;
  long shared = 0;  ///< memory that the kernel counts for the region's file and the doorbell's, mapped or not
  long owner_descriptors = 0;
  long all_descriptors = 0;
  long owner_mappings = 0;
  long all_mappings = 0;
  long threads = 0;    ///< of the owner
  long processes = 0;  ///< all but the owner, zombies among them
};

struct Metric {
  const char* name;    ///< for a table
  const char* column;  ///< for a CSV file
  long Usage::* value;
  bool kilobytes;
};

inline constexpr Metric kMetrics[] = {
    {"owner, allocated", "owner_allocated_kb", &Usage::owner_allocated, true},
    {"owner, private memory", "owner_private_kb", &Usage::owner_private, true},
    {"owner, resident memory", "owner_resident_kb", &Usage::owner_resident, true},
    {"workers, Pss", "workers_pss_kb", &Usage::workers_pss, true},
    {"fork servers, Pss", "servers_pss_kb", &Usage::servers_pss, true},
    {"all processes, Pss", "all_pss_kb", &Usage::all_pss, true},
    {"shared memory", "shared_kb", &Usage::shared, true},
    {"owner, descriptors", "owner_descriptors", &Usage::owner_descriptors, false},
    {"all processes, descriptors", "all_descriptors", &Usage::all_descriptors, false},
    {"owner, mappings", "owner_mappings", &Usage::owner_mappings, false},
    {"all processes, mappings", "all_mappings", &Usage::all_mappings, false},
    {"owner, threads", "threads", &Usage::threads, false},
    {"processes of pools", "processes", &Usage::processes, false},
};

inline std::vector<std::string> entries_of(const std::string& folder) {
  std::vector<std::string> names;
  DIR* const dir = ::opendir(folder.c_str());
  if (dir == nullptr) return names;  // its process has ended
  while (const dirent* entry = ::readdir(dir))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  ::closedir(dir);
  return names;
}

/// The numbers of a file of lines `name: number ...`.
inline std::map<std::string, long> numbers_in(const std::string& path) {
  std::map<std::string, long> numbers;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    const auto digit = line.find_first_not_of(" \t", colon + 1);
    if (colon == line.npos || digit == line.npos || std::isdigit(static_cast<unsigned char>(line[digit])) == 0)
      continue;
    numbers[line.substr(0, colon)] += std::stol(line.substr(digit));
  }
  return numbers;
}

struct Process {
  pid_t parent = 0;
  std::string name;
};

/// All that `root` has started, what those have started, and so on.
inline std::map<pid_t, Process> started_by(pid_t root) {
  std::map<pid_t, Process> all, found;
  for (const std::string& entry : entries_of("/proc")) {
    if (std::isdigit(static_cast<unsigned char>(entry[0])) == 0) continue;
    std::ifstream file("/proc/" + entry + "/stat");
    std::string text;
    std::getline(file, text);
    const auto open = text.find('('), close = text.rfind(')');
    if (open == text.npos || close == text.npos || close + 4 >= text.size()) continue;
    all[std::stoi(entry)] = {std::stoi(text.substr(close + 4)), text.substr(open + 1, close - open - 1)};
  }
  for (bool more = true; more;) {
    more = false;
    for (const auto& [pid, process] : all)
      if (!found.contains(pid) && (process.parent == root || found.contains(process.parent))) {
        found[pid] = process;
        more = true;
      }
  }
  return found;
}

inline long lines_of(const std::string& path) {
  std::ifstream file(path);
  long lines = 0;
  for (std::string line; std::getline(file, line);) ++lines;
  return lines;
}

/// The memory of the anonymous files that `pid` has open and whose names begin with `name`, in KB.
inline long shared_kb_of(pid_t pid, const std::string& name) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  std::map<ino_t, long> files;
  for (const std::string& fd : entries_of(folder)) {
    char target[256] = {};
    const std::string path = folder + "/" + fd;
    struct stat file{};
    if (::readlink(path.c_str(), target, sizeof target - 1) <= 0 || ::stat(path.c_str(), &file) != 0) continue;
    if (std::string(target).starts_with("/memfd:" + name)) files[file.st_ino] = file.st_blocks / 2;
  }
  long sum = 0;
  for (const auto& [inode, kb] : files) sum += kb;
  return sum;
}

inline Usage usage_of(pid_t owner) {
  const auto folder_of = [](pid_t pid) { return "/proc/" + std::to_string(pid); };
  Usage usage;
  const auto add = [&](pid_t pid, long Usage::* pss) {
    const long kb = numbers_in(folder_of(pid) + "/smaps_rollup")["Pss"];
    if (pss != nullptr) usage.*pss += kb;
    usage.all_pss += kb;
    usage.all_descriptors += static_cast<long>(entries_of(folder_of(pid) + "/fd").size());
    usage.all_mappings += lines_of(folder_of(pid) + "/maps");
  };
  auto status = numbers_in(folder_of(owner) + "/status");
  usage.owner_private = status["RssAnon"] + status["VmSwap"];
  usage.owner_resident = status["VmRSS"];
  if (owner == ::getpid()) {
    const struct mallinfo2 heap = ::mallinfo2();
    usage.owner_allocated = static_cast<long>((heap.uordblks + heap.hblkhd) / 1024);
  }
  usage.threads = status["Threads"];
  usage.owner_descriptors = static_cast<long>(entries_of(folder_of(owner) + "/fd").size());
  usage.owner_mappings = lines_of(folder_of(owner) + "/maps");
  usage.shared = shared_kb_of(owner, "retinue");
  add(owner, nullptr);
  for (const auto& [pid, process] : started_by(owner)) {
    ++usage.processes;
    add(pid, process.name == "retinue-worker"   ? &Usage::workers_pss
             : process.name == "retinue-server" ? &Usage::servers_pss
                                                : nullptr);
  }
  return usage;
}

}  // namespace endurance
