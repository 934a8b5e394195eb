#include "process_state.hpp"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>

#include "calls.hpp"
#include "fd.hpp"

namespace retinue::detail {

ProcessState ProcessState::of(pid_t pid) noexcept {
  char path[32], text[512];
  std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(pid));
  const UniqueFd file(sys::open(path, O_RDONLY | O_CLOEXEC));
  const ssize_t bytes = file ? sys::read(file.get(), text, sizeof text) : 0;
  const std::string_view stat(text, static_cast<std::size_t>(std::max<ssize_t>(bytes, 0)));
  const std::size_t name = stat.find('('), name_end = stat.rfind(") ");  // a name may hold either
  ProcessState process;
  if (name == stat.npos || name_end == stat.npos || name_end + 2 >= stat.size()) return process;
  process.state_ = stat[name_end + 2];
  stat.substr(name + 1, std::min(name_end - name - 1, sizeof process.name_ - 1))
      .copy(process.name_, sizeof process.name_ - 1);
  return process;
}

bool is_only_thread() noexcept {
  struct stat threads{};
  return sys::stat("/proc/self/task", &threads) == 0 && threads.st_nlink == 3;  // of a folder, one more for each in it
}

}  // namespace retinue::detail
