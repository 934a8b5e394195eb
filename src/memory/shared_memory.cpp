#include <retinue/shared_memory.hpp>

#include <string>

#include "system/text_file.hpp"
#include "memory_rules.hpp"
#include "region.hpp"

namespace retinue {

SharedMemoryUsage shared_memory_usage() {
  const detail::Region& region = detail::Region::of_this_process();
  const detail::Region::Usage now = region.usage();
  const std::uint64_t limit = region.limit();
  SharedMemoryUsage usage;
  usage.bytes_in_use = now.owner_bytes + now.result_bytes;
  usage.bytes_peak = now.peak_bytes;
  usage.blocks = now.blocks;
  usage.bytes_warm = now.warm_bytes;
  usage.bytes_reserved = region.file().memory();
  usage.bytes_limit = limit == detail::MemoryRules::kNone ? 0 : limit;
  return usage;
}

void limit_shared_memory(std::uint64_t bytes) {
  detail::Region& region = detail::Region::of_this_process();
  region.set_limit(bytes == 0 ? detail::MemoryRules::kNone : bytes);
  if (bytes != 0) region.trim();  // what is kept counts
}

void keep_shared_memory(std::optional<std::uint64_t> bytes) { detail::Region::of_this_process().set_kept(bytes); }

void trim_shared_memory() { detail::Region::of_this_process().trim(); }

bool use_huge_pages() {
  const std::string settings = detail::text_of_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled").value_or("");
  const bool given = detail::Region::of_this_process().use_huge_pages();
  return given && !settings.empty() && settings.find("[never]") == std::string::npos &&
         settings.find("[deny]") == std::string::npos;
}

}  // namespace retinue
