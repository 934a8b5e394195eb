#include "inherited_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

#include "system/calls.hpp"
#include "system/fd.hpp"

namespace retinue::detail {
namespace {

struct Range {
  std::uintptr_t begin = 0, end = 0;
};

/// A few things on the stack, for nothing is allocated here. Those that find no room are left out.
template <class T, std::size_t kMost>
struct Few {
  T items[kMost];
  std::size_t count = 0;

  void add(const T& item) noexcept {
    if (count < kMost) items[count++] = item;
  }
  T* begin() noexcept { return items; }
  T* end() noexcept { return items + count; }
};

using Kept = Few<std::uintptr_t, 16>;
using Ranges = Few<Range, 64>;

bool take_hex(std::string_view& text, std::uintptr_t& number) noexcept {
  std::size_t digits = 0;
  for (number = 0; digits < text.size() && digits < 16; ++digits) {
    const char c = text[digits];
    if (c >= '0' && c <= '9') number = number << 4 | static_cast<std::uintptr_t>(c - '0');
    else if (c >= 'a' && c <= 'f') number = number << 4 | static_cast<std::uintptr_t>(c - 'a' + 10);
    else break;
  }
  text.remove_prefix(digits);
  return digits != 0;
}

/// The lines of /proc/self/maps, one after the other.
class LargeMappings {
 public:
  explicit LargeMappings(Ranges& found) noexcept : found_(found) {}

  void read(std::string_view line) noexcept {
    constexpr std::string_view kOwn = " rw-p 00000000 00:00 0";  // no file, and no name after it
    Range range;
    if (!take_hex(line, range.begin) || !line.starts_with('-')) return;
    line.remove_prefix(1);
    if (!take_hex(line, range.end)) return;
    if (line.find("/vgpreload_") != line.npos) is_simulated_ = true;
    const bool is_anonymous = line.find_first_of("/[") == line.npos;
    const bool is_behind_file = range.begin == end_of_file_;
    if (!is_anonymous) end_of_file_ = range.end;
    if (is_anonymous && !is_behind_file && line.starts_with(kOwn) && range.end - range.begin >= kLargeMapping)
      found_.add(range);
  }

  /// Valgrind runs the program, and has memory of its own among what is found.
  bool is_simulated() const noexcept { return is_simulated_; }

 private:
  Ranges& found_;
  std::uintptr_t end_of_file_ = 0;  // of the last mapping that has a name
  bool is_simulated_ = false;
};

// False, where something could not be read: then what was found may not be what it seems. Under valgrind, too.
bool find_large_mappings(Ranges& found) noexcept {
  const UniqueFd maps(sys::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
  LargeMappings mappings(found);
  char text[4096];
  for (std::size_t held = 0; maps;) {
    const ssize_t n = sys::read(maps.get(), text + held, sizeof text - held);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return n == 0 && !mappings.is_simulated();
    held += static_cast<std::size_t>(n);
    std::string_view rest(text, held);
    for (std::size_t end = 0; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1))
      mappings.read(rest.substr(0, end));
    if (rest.size() == sizeof text) return false;
    held = rest.size();
    std::memmove(text, rest.data(), held);
  }
  return false;
}

void drop(std::uintptr_t begin, std::uintptr_t end) noexcept {
  if (begin < end) sys::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

// `kept`: by address.
void drop_but(Kept& kept, const Range& range) noexcept {
  std::uintptr_t begin = range.begin;
  for (const std::uintptr_t address : kept) {
    if (address + kKeptAround <= begin) continue;
    if (address - kKeptAround >= range.end) break;
    drop(begin, address - kKeptAround);
    begin = address + kKeptAround;
  }
  drop(begin, range.end);
}

}  // namespace

std::size_t own_private_memory() noexcept {
  const UniqueFd file(sys::open("/proc/self/statm", O_RDONLY | O_CLOEXEC));
  char text[128] = {};
  unsigned long size = 0, resident = 0, shared = 0;
  if (!file || sys::read(file.get(), text, sizeof text - 1) <= 0 ||
      std::sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3)
    return 0;
  return (resident - std::min(resident, shared)) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void drop_inherited_memory(std::span<const void* const> in_use) noexcept {
  Ranges ranges;
  if (!find_large_mappings(ranges)) return;
  Kept kept;
  const auto keep = [&kept](const void* address) { kept.add(reinterpret_cast<std::uintptr_t>(address) / 4096 * 4096); };
  for (const void* address : {static_cast<const void*>(&kept), static_cast<const void*>(&errno),
                              static_cast<const void*>(__builtin_thread_pointer())})
    keep(address);
  for (const void* address : in_use) keep(address);
  std::sort(kept.begin(), kept.end());
  for (const Range& range : ranges) drop_but(kept, range);
}

}  // namespace retinue::detail
