// What a process holds that could leak.
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>

#include "processes.hpp"

namespace retinue_test {

struct Holdings {
  std::map<pid_t, ProcessInfo> processes;
  std::set<pid_t> holders;
  std::multiset<std::string> descriptors;
  std::set<std::string> symbol_files;
  std::multiset<std::string> shared_mappings;
  std::set<std::string> shm_entries;
  std::size_t threads = 0;

  static Holdings of_this_process();
  /// What is here and was not `before`, in words; empty if nothing is.
  std::string beyond(const Holdings& before) const;
};

}  // namespace retinue_test
