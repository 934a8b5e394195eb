#include "processes.hpp"

#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <sstream>
#include <sys/syscall.h>
#include <unistd.h>

namespace retinue_chaos {
namespace {

bool is_number(const std::string& name) { return !name.empty() && name[0] >= '0' && name[0] <= '9'; }

/// Holds on to a process, so that its pid means nobody else.
class Held {
 public:
  explicit Held(pid_t pid) : fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool valid() const { return fd_ >= 0; }
  bool send(int signal) const { return ::syscall(SYS_pidfd_send_signal, fd_, signal, nullptr, 0) == 0; }

 private:
  int fd_;
};

}  // namespace

std::string text_of_file(const std::string& path) {
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
  const std::string stat = text_of_file("/proc/" + std::to_string(pid) + "/stat");
  const auto open = stat.find('('), close = stat.rfind(')');
  ProcessInfo info;
  if (open == std::string::npos || close == std::string::npos) return info;
  info.pid = pid;
  info.name = stat.substr(open + 1, close - open - 1);
  std::istringstream rest(stat.substr(close + 2));
  rest >> info.state >> info.parent;
  return info;
}

std::map<pid_t, ProcessInfo> descendants() {
  std::map<pid_t, ProcessInfo> all, found;
  for (const std::string& name : names_in("/proc"))
    if (is_number(name))
      if (const ProcessInfo info = process_info(std::atoi(name.c_str())); info.pid != 0) all[info.pid] = info;
  for (bool more = true; more;) {
    more = false;
    for (const auto& [pid, info] : all)
      if (!found.contains(pid) && (info.parent == ::getpid() || found.contains(info.parent))) {
        found[pid] = info;
        more = true;
      }
  }
  return found;
}

bool signal_worker(pid_t pid, int signal) {
  const Held process(pid);
  if (!process.valid()) return false;
  const ProcessInfo worker = process_info(pid);
  return worker.alive() && process_info(worker.parent).parent == ::getpid() && process.send(signal);
}

bool signal_server_of(pid_t worker, int signal) {
  const pid_t pid = process_info(worker).parent;
  if (pid <= 1 || pid == ::getpid()) return false;
  const Held process(pid);
  if (!process.valid()) return false;
  const ProcessInfo server = process_info(pid);
  return server.alive() && server.parent == ::getpid() && process.send(signal);
}

}  // namespace retinue_chaos
