// What /proc says of processes.
#pragma once

#include <map>
#include <set>
#include <string>
#include <sys/types.h>
#include <vector>

namespace retinue_test {

/// All that a file holds; empty if it cannot be read.
std::string text_of(const std::string& path);
/// The names in a folder, but those that begin with a dot.
std::vector<std::string> names_in(const std::string& folder);

struct ProcessInfo {
  pid_t pid = 0, parent = 0;  ///< pid 0: there is none
  char state = '?';
  std::string name;

  bool alive() const { return pid != 0 && state != 'Z' && state != 'X'; }
};

/// What /proc says of a process; pid 0 if it is gone.
ProcessInfo process_info(pid_t pid);
/// True once the process runs no more (it may still be a zombie that its parent has not waited for).
bool is_gone(pid_t pid);
/// All living descendants of `root`, zombies among them.
std::map<pid_t, ProcessInfo> descendants_of(pid_t root);
/// The fork servers of this process's pools.
std::vector<pid_t> fork_servers_of(pid_t owner);
/// The inode of the region among the mappings that `maps` lists; empty if it is not there.
std::string inode_of_region(const std::string& maps);
/// Processes of any parent that map this process's region: what an orphan of a pool is known by.
std::set<pid_t> holders_of_region();

}  // namespace retinue_test
