// What a pool's processes use: its workers, the fork server that is their parent, and this one.
#pragma once

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <system_error>
#include <unistd.h>
#include <vector>

#include <retinue/process_pool.hpp>

namespace bench {

/// A number from a file of lines `name: number`, or 0.
inline long number_in(std::ifstream& file, const std::string& name) {
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(name + ":")) return std::stol(line.substr(name.size() + 1));
  return 0;
}

/// A number from /proc/PID/status, such as VmRSS (KB) or PPid.
inline long status_of(pid_t pid, const std::string& name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  return number_in(file, name);
}

inline std::vector<pid_t> processes_of(const retinue::ProcessPool& pool) {
  std::set<pid_t> all{::getpid()};
  for (const pid_t worker : pool.worker_pids()) {
    all.insert(worker);
    if (const long parent = status_of(worker, "PPid"); parent > 1) all.insert(static_cast<pid_t>(parent));
  }
  return {all.begin(), all.end()};
}

/// How often the threads of a process have gone to sleep by their own will.
inline long sleeps_of(pid_t pid) {
  long sum = 0;
  const std::string folder = "/proc/" + std::to_string(pid) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(folder)) {
    std::ifstream file(task.path() / "status");
    sum += number_in(file, "voluntary_ctxt_switches");
  }
  return sum;
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
