// What a pool's processes use: its workers, the fork server that is their parent, and this one.
#pragma once

#include <cerrno>
#include <ctime>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

#include <retinue/process_pool.hpp>

namespace bench {

/// A number from /proc/PID/status, such as VmRSS (KB) or PPid; 0 where it is not given.
inline long status_of(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return std::stol(line.substr(name.size() + 1));
  return 0;
}

inline std::vector<pid_t> processes_of(const retinue::ProcessPool& pool) {
  std::set<pid_t> all{::getpid()};
  for (const pid_t worker : pool.worker_pids()) {
    all.insert(worker);
    if (const long parent = status_of(worker, "PPid"); parent > 1) all.insert(static_cast<pid_t>(parent));
  }
  return {all.begin(), all.end()};
}

/// CPU time of a process since its start, in nanoseconds: user and system, all threads, finer than the 10 ms of
/// /proc/PID/stat.
inline double cpu_ns(pid_t pid) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0)
    throw std::system_error(errno, std::generic_category(), "CPU clock of a process");
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

}  // namespace bench
