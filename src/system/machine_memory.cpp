#include "machine_memory.hpp"

#include <algorithm>
#include <charconv>
#include <fcntl.h>
#include <new>
#include <string_view>

#include "calls.hpp"
#include "fd.hpp"
#include "text_file.hpp"

namespace retinue::detail {
namespace {

// The number behind `key`, which stands at the beginning of a line.
std::optional<std::uint64_t> number_after(std::string_view text, std::string_view key) noexcept {
  for (std::size_t at = text.find(key); at != std::string_view::npos; at = text.find(key, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    text.remove_prefix(std::min(text.find_first_not_of(' ', at + key.size()), text.size()));
    std::uint64_t number = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) return std::nullopt;
    return number;
  }
  return std::nullopt;
}

std::optional<MachineMemory> from_meminfo(std::string_view text) noexcept {
  const auto total = number_after(text, "MemTotal:"), available = number_after(text, "MemAvailable:");
  if (!total || !available) return std::nullopt;
  return MachineMemory{*total * 1024, *available * 1024, number_after(text, "SwapFree:").value_or(0) * 1024};
}

void cut_to_limit(MachineMemory& memory, const CgroupFolder& group) {
  const auto number_in = [&group](const char* file) {
    return number_after(text_of_file(group.path + file).value_or(""), "");
  };
  const auto limit = number_in(group.v2 ? "/memory.max" : "/memory.limit_in_bytes");
  const auto used = number_in(group.v2 ? "/memory.current" : "/memory.usage_in_bytes");
  if (!limit || !used || *limit >= memory.total) return;
  const std::string stat = text_of_file(group.path + "/memory.stat").value_or("");
  const std::uint64_t cached = number_after(stat, group.v2 ? "active_file " : "total_active_file ").value_or(0) +
                               number_after(stat, group.v2 ? "inactive_file " : "total_inactive_file ").value_or(0);
  const std::uint64_t bound = *used - std::min(*used, cached);
  memory.total = *limit;
  memory.available = std::min(memory.available, *limit - std::min(*limit, bound));
}

}  // namespace

std::optional<MachineMemory> machine_memory() noexcept {
  const UniqueFd file(sys::open("/proc/meminfo", O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  char text[4096];
  const ssize_t n = sys::pread(file.get(), text, sizeof text, 0);
  if (n <= 0) return std::nullopt;
  return from_meminfo({text, static_cast<std::size_t>(n)});
}

std::optional<MachineMemory> MemoryWatch::look() noexcept {
  try {
    auto memory = root_prefix_.empty() ? machine_memory()
                                       : from_meminfo(text_of_file(root_prefix_ + "/proc/meminfo").value_or(""));
    if (!memory) return std::nullopt;
    if (!groups_) groups_ = cgroup_folders(root_prefix_, "memory");
    for (const CgroupFolder& group : *groups_) cut_to_limit(*memory, group);
    return memory;
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
}

}  // namespace retinue::detail
