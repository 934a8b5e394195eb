#include "holdings.hpp"

#include <sstream>
#include <string_view>
#include <unistd.h>

namespace retinue_test {

Holdings Holdings::of_this_process() {
  Holdings h;
  h.processes = descendants_of(::getpid());
  h.holders = holders_of_region();
  char program[512] = {};
  (void)!::readlink("/proc/self/exe", program, sizeof program - 1);
  for (const std::string& fd : names_in("/proc/self/fd")) {
    char target[512] = {};
    if (::readlink(("/proc/self/fd/" + fd).c_str(), target, sizeof target - 1) <= 0) continue;
    // Tables of symbols, once read for the stack of a crash, are kept with their files: one each.
    const std::string_view name(target);
    const bool symbols = name.find(".so") != name.npos || name.ends_with(".debug") || name == program;
    if (!symbols || h.symbol_files.insert(target).second == false) h.descriptors.insert(target);
  }
  std::istringstream maps(text_of("/proc/self/maps"));
  for (std::string line; std::getline(maps, line);) {
    std::istringstream fields(line);
    std::string range, flags, offset, device, inode, name;
    fields >> range >> flags >> offset >> device >> inode >> name;
    if (flags.size() == 4 && flags[3] == 's') h.shared_mappings.insert(name + " " + inode);
  }
  for (const std::string& name : names_in("/dev/shm"))
    if (name.find("retinue") != std::string::npos) h.shm_entries.insert(name);
  h.threads = names_in("/proc/self/task").size();
  return h;
}

std::string Holdings::beyond(const Holdings& before) const {
  std::ostringstream text;
  for (const auto& [pid, info] : processes)
    if (before.processes.count(pid) == 0)
      text << "process " << pid << " (" << info.name << ", state " << info.state << "); ";
  for (const pid_t pid : holders)
    if (before.holders.count(pid) == 0 && processes.count(pid) == 0) text << "orphan " << pid << "; ";
  std::multiset<std::string> more = descriptors;
  for (const std::string& d : before.descriptors)
    if (const auto it = more.find(d); it != more.end()) more.erase(it);
  if (descriptors.size() > before.descriptors.size())
    for (const std::string& d : more) text << "descriptor " << d << "; ";
  more = shared_mappings;
  for (const std::string& m : before.shared_mappings)
    if (const auto it = more.find(m); it != more.end()) more.erase(it);
  for (const std::string& m : more) text << "mapping " << m << "; ";
  for (const std::string& name : shm_entries)
    if (before.shm_entries.count(name) == 0) text << "/dev/shm/" << name << "; ";
  if (threads > before.threads) text << threads - before.threads << " threads; ";
  return text.str();
}

}  // namespace retinue_test
