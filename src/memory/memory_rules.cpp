#include "memory_rules.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>

#include <retinue/error.hpp>

#include "system/calls.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace retinue::detail {
namespace {

[[noreturn]] void refuse(std::uint64_t wanted, std::uint64_t reserved, std::uint64_t most) {
  throw ResourceExhausted("the limit of shared memory: " + std::to_string(wanted) + " bytes more than the " +
                              std::to_string(reserved) + " in use or kept for reuse would be beyond the limit of " +
                              std::to_string(most) + " (limit_shared_memory, RETINUE_SHARED_MEMORY_LIMIT)",
                          0);
}

// fallocate gives huge pages by the file's setting only, a page fault by that of the mapping. What this could not do,
// fallocate does and reports.
void populate(std::uintptr_t base, Extent extent) noexcept {
  constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
  if (extent.length >= kHugePage)
    sys::madvise(reinterpret_cast<void*>(base + extent.offset), extent.length, MADV_POPULATE_WRITE);
}

}  // namespace

void check_limit(const MemoryRules& rules, const SharedFile& file, std::uint64_t more) {
  const std::uint64_t most = rules.limit.load(std::memory_order_relaxed);
  if (most == MemoryRules::kNone) return;
  const std::uint64_t taken = file.memory();
  if (more > most || taken > most - more) refuse(more, taken, most);
}

void reserve_within(const MemoryRules& rules, const SharedFile& file, Extent extent) {
  check_limit(rules, file, extent.length);
  if (const std::uintptr_t base = rules.huge_pages_from.load(std::memory_order_relaxed); base != 0)
    populate(base, extent);
  try {
    file.reserve(extent.offset, extent.length);
  } catch (...) {
    try {
      file.punch_hole(extent.offset, extent.length);  // what was populated
    } catch (const Error&) {
      // It stays reserved until these addresses are used again.
    }
    throw;
  }
  const std::uint64_t most = rules.limit.load(std::memory_order_relaxed);
  if (most == MemoryRules::kNone) return;
  const std::uint64_t taken = file.memory();
  if (taken <= most) return;
  file.punch_hole(extent.offset, extent.length);  // another process reserved at the same time
  refuse(extent.length, taken - std::min(taken, extent.length), most);
}

std::optional<std::uint64_t> bytes_from_environment(const char* name, std::uint64_t least) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  std::uint64_t bytes = 0;
  const char* end = text + std::strlen(text);
  const auto [rest, error] = std::from_chars(text, end, bytes);
  unsigned shift = 0;
  if (error == std::errc() && rest != end) {
    switch (*rest | 0x20) {
      case 'k': shift = 10; break;
      case 'm': shift = 20; break;
      case 'g': shift = 30; break;
      case 't': shift = 40; break;
      default: shift = 64;
    }
    if (rest + 1 != end) shift = 64;
  }
  if (error != std::errc() || bytes < least || shift == 64 || bytes > (MemoryRules::kNone >> shift))
    throw Error(std::string(name) + " is \"" + text +
                "\"; it must be a number of bytes, or one with K, M, G or T behind it");
  return bytes << shift;
}

}  // namespace retinue::detail
