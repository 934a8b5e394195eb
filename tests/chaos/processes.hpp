// What /proc says of processes, and signals that can only meet the right one.
#pragma once

#include <map>
#include <string>
#include <sys/types.h>
#include <vector>

namespace retinue_chaos {

struct ProcessInfo {
  pid_t pid = 0, parent = 0;  ///< pid 0: there is none
  char state = '?';
  std::string name;

  bool alive() const { return pid != 0 && state != 'Z' && state != 'X'; }
};

/// Empty if it cannot be read.
std::string text_of_file(const std::string& path);
std::vector<std::string> names_in(const std::string& folder);
ProcessInfo process_info(pid_t pid);
/// All processes below this one, zombies among them. The runner is a subreaper, so orphans are found, too.
std::map<pid_t, ProcessInfo> descendants();

/// Sends a signal to a worker of a pool of this process: a living grandchild, which is verified while a descriptor
/// holds on to it, so that no other process that got its pid meanwhile is ever hit. False if it is none.
bool signal_worker(pid_t pid, int signal);
/// The fork server of a worker, likewise, which is a child of this process.
bool signal_server_of(pid_t worker, int signal);

}  // namespace retinue_chaos
