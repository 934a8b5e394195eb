#include "census.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <malloc.h>
#include <sstream>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

#include <retinue/shared_memory.hpp>

#include "processes.hpp"
#include "sanitized.hpp"
#include "task.hpp"

namespace retinue_chaos {
namespace {

// What may come and go without being a leak: arenas and cached stacks of threads, tables of symbols, a chunk of the
// region's for small blocks. A leak of one thing a round is beyond all of it in an hour, and most in seconds.
constexpr std::size_t kMappingsToSpare = 80;
constexpr std::uint64_t kReservedToSpare = 4 << 20;
constexpr std::uint64_t kHeapToSpare = 6 << 20;

void count_descriptors(Census& census) {
  std::set<std::string> symbol_files;
  char program[512] = {};
  (void)!::readlink("/proc/self/exe", program, sizeof program - 1);
  for (const std::string& fd : names_in("/proc/self/fd")) {
    char target[512] = {};
    if (::readlink(("/proc/self/fd/" + fd).c_str(), target, sizeof target - 1) <= 0) continue;
    // Tables of symbols, once read for the stack of a crash, are kept with their files: one each.
    const std::string name(target);
    const bool symbols = name.find(".so") != name.npos || name.ends_with(".debug") || name == program;
    if (symbols && symbol_files.insert(name).second) continue;
    census.descriptors.insert(name.substr(0, name.find(':')));  // without the number of a pipe or a socket
  }
}

void count_mappings(Census& census) {
  std::istringstream maps(text_of("/proc/self/maps"));
  for (std::string line; std::getline(maps, line);) {
    if (!kThreadSanitized) ++census.mappings;  // most are that sanitizer's own, and it maps more as it goes
    std::istringstream fields(line);
    std::string range, flags, offset, device, inode, name;
    fields >> range >> flags >> offset >> device >> inode >> name;
    if (flags.size() == 4 && flags[3] == 's') census.shared_mappings.insert(name + " " + inode);
  }
}

template <class All>
std::string more(const All& now, const All& before, const char* what) {
  std::string text;
  All rest = now;
  for (const std::string& name : before)
    if (const auto it = rest.find(name); it != rest.end()) rest.erase(it);
  for (const std::string& name : rest) text += std::string(what) + " " + name + "; ";
  return text;
}

template <class Number>
std::string more(Number now, Number before, Number spare, const char* what) {
  return now > before + spare ? std::to_string(now - before) + " more " + what + "; " : "";
}

}  // namespace

Census Census::now() {
  Census census;
  for (const auto& [pid, info] : descendants())
    census.processes.insert(std::to_string(pid) + " (" + info.name + ", state " + info.state + ")");
  count_descriptors(census);
  count_mappings(census);
  for (const std::string& name : names_in("/dev/shm"))
    if (name.find("retinue") != std::string::npos) census.shm_entries.insert(name);
  census.threads = names_in("/proc/self/task").size();
  retinue::trim_shared_memory();
  const retinue::SharedMemoryUsage usage = retinue::shared_memory_usage();
  census.shared_bytes = usage.bytes_in_use;
  census.shared_blocks = usage.blocks;
  census.reserved_bytes = usage.bytes_reserved;
  if (!kSanitized) {
    // Threads that are gone leave hundreds of megabytes of free heap, of which each fork of the next rounds would copy the
    // page tables.
    ::malloc_trim(0);
    const struct mallinfo2 heap = ::mallinfo2();
    census.heap_bytes = heap.uordblks + heap.hblkhd;
  }
  return census;
}

std::string Census::beyond(const Census& before) const {
  return more(processes, before.processes, "process") + more(descriptors, before.descriptors, "descriptor of") +
         more(shared_mappings, before.shared_mappings, "shared mapping") +
         more(shm_entries, before.shm_entries, "/dev/shm/") + more(threads, before.threads, std::size_t{0}, "threads") +
         more(mappings, before.mappings, kMappingsToSpare, "mappings") +
         more(shared_bytes, before.shared_bytes, std::uint64_t{0}, "bytes of shared memory in use") +
         more(shared_blocks, before.shared_blocks, std::uint64_t{0}, "blocks of shared memory in use") +
         more(reserved_bytes, before.reserved_bytes, kReservedToSpare, "bytes of shared memory reserved") +
         more(heap_bytes, before.heap_bytes, kHeapToSpare, "bytes of heap");
}

std::string left_since(const Census& before) {
  const char* factor = std::getenv("RETINUE_TEST_TIME_FACTOR");
  const auto deadline = std::chrono::steady_clock::now() +
                        std::chrono::seconds(5) * (factor != nullptr ? std::max(1, std::atoi(factor)) : 1);
  for (;;) {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    const std::string left = Census::now().beyond(before);
    if (left.empty() || std::chrono::steady_clock::now() > deadline) return left;
    take_time(1000);
  }
}

}  // namespace retinue_chaos
