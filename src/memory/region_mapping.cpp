#include "region_mapping.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <retinue/error.hpp>

#include "system/calls.hpp"
#include "system/memfd.hpp"
#include "system/sanitizer.hpp"

namespace retinue::detail {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
constexpr std::uint64_t kMaxAddresses = 16 * 1024 * kGiB;
constexpr std::uint64_t kMaxBesideShadow = 256 * kGiB;  // the thread sanitizer's leaves no more
constexpr std::uint64_t kMinAddresses = kGiB / 4;

void* map_shared(std::uintptr_t wish, std::uint64_t bytes, int fd, int flags = 0) noexcept {
  return sys::mmap(reinterpret_cast<void*>(wish), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | flags, fd,
                   0);
}

// Where a program keeps nothing of its own, so that one started anew can have the region at the same address; several,
// for workers that make pools inherit the regions of their owners. Anywhere else if none is free.
void* map_where_wished(std::uint64_t bytes, int fd) noexcept {
  if (has_thread_sanitizer()) return map_shared(0, bytes, fd);
  for (std::uintptr_t wish = 0x1100'0000'0000; wish < 0x5100'0000'0000; wish += 0x1000'0000'0000) {
    void* p = map_shared(wish, bytes, fd, MAP_FIXED_NOREPLACE);
    if (p == MAP_FAILED) continue;
    if (reinterpret_cast<std::uintptr_t>(p) == wish) return p;
    munmap(p, bytes);  // a kernel that does not know the flag
  }
  return map_shared(0, bytes, fd);
}

std::uint64_t file_size_limit() noexcept {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : ~std::uint64_t{0};
}

bool huge_pages_wanted() noexcept {
  const char* text = std::getenv("RETINUE_HUGE_PAGES");
  return text != nullptr && *text != '\0' && std::strcmp(text, "0") != 0;
}

}  // namespace

std::uint64_t RegionMapping::round_to_page(std::uint64_t n) noexcept { return (n + kPage - 1) / kPage * kPage; }

RegionMapping::RegionMapping() : memfd_(create_memfd("retinue")), file_(memfd_.get()), made_here_(true) {
  if (file_size_limit() < kMinAddresses)
    throw ResourceExhausted(
        "the shared region needs " + std::to_string(kMinAddresses) + " bytes at least, and the limit of " +
            std::to_string(file_size_limit()) +
            " bytes for files (ulimit -f, RLIMIT_FSIZE) counts for it too: raise it, and set a lower one "
            "in the workers' initializer or in tasks",
        EFBIG);
  const std::uint64_t most =
      std::min(has_thread_sanitizer() ? kMaxBesideShadow : kMaxAddresses, std::bit_floor(file_size_limit()));
  int error_number = EFBIG;
  for (reach_ = most; reach_ >= kMinAddresses; reach_ /= 2) {
    void* p = map_where_wished(reach_, memfd_.get());
    if (p != MAP_FAILED) {
      base_ = static_cast<std::byte*>(p);
      break;
    }
    error_number = errno;
  }
  if (base_ == nullptr)
    throw_call_failed(
        "mmap", error_number,
        "the shared region, " + std::to_string(kMinAddresses) + " bytes of addresses at least; see ulimit -v");
  file_.set_base(base_);
  // A core dump must not carry the region, and the file covers all of the mapping: an offset that a
  // stray worker makes up reads as zeros instead of raising SIGBUS.
  sys::madvise(base_, reach_, MADV_DONTDUMP);
  if (sys::ftruncate(memfd_.get(), static_cast<off_t>(reach_)) != 0) {
    error_number = errno;
    munmap(base_, reach_);
    throw_call_failed("ftruncate", error_number, "the shared region, to " + std::to_string(reach_) + " bytes");
  }
  // Offset 0 stands for "no block", so the head lies there.
  try {
    const std::uint64_t limit = bytes_from_environment("RETINUE_SHARED_MEMORY_LIMIT", 1).value_or(MemoryRules::kNone);
    reserve(memfd_.get(), 0, head_bytes());
    head_ = new (base_) RegionHead();
    set_limit(limit);
    attach_modules(head_->modules);
  } catch (...) {
    munmap(base_, reach_);
    throw;
  }
}

RegionMapping::RegionMapping(int memfd, std::uintptr_t base, std::uint64_t reach)
    : memfd_(memfd), file_(memfd), reach_(reach), made_here_(false) {
  void* p = map_shared(base, reach, memfd, MAP_FIXED_NOREPLACE);
  if (p == MAP_FAILED || reinterpret_cast<std::uintptr_t>(p) != base) {
    const int error_number = p == MAP_FAILED ? errno : EEXIST;
    if (p != MAP_FAILED) munmap(p, reach);
    throw ResourceExhausted("mmap of the owner's region at its address, where this program has something else",
                            error_number);
  }
  base_ = static_cast<std::byte*>(p);
  file_.set_base(base_);
  sys::madvise(base_, reach_, MADV_DONTDUMP);
  head_ = reinterpret_cast<RegionHead*>(base_);
}

RegionMapping::~RegionMapping() {
  if (made_here_) detach_modules(head_->modules);
  munmap(base_, reach_);
}

void RegionMapping::use_huge_pages_if_wanted() noexcept {
  if (huge_pages_wanted()) use_huge_pages();
}

bool RegionMapping::use_huge_pages() noexcept {
  if (sys::madvise(base_, reach_, MADV_HUGEPAGE) != 0) return false;
  for (MemoryRules* rules : {&own_rules_, &head_->rules})
    rules->huge_pages_from.store(reinterpret_cast<std::uintptr_t>(base_), std::memory_order_relaxed);
  return true;
}

void RegionMapping::set_limit(std::uint64_t bytes) noexcept {
  for (MemoryRules* rules : {&own_rules_, &head_->rules}) rules->limit.store(bytes, std::memory_order_release);
}

void RegionMapping::set_kept_by_worker(std::uint64_t bytes) noexcept {
  for (MemoryRules* rules : {&own_rules_, &head_->rules}) rules->kept_by_worker.store(bytes, std::memory_order_release);
}

void RegionMapping::recall_warm_memory() noexcept {
  const std::uint64_t recalls = own_rules_.recalls.load(std::memory_order_relaxed) + 1;
  for (MemoryRules* rules : {&own_rules_, &head_->rules}) rules->recalls.store(recalls, std::memory_order_release);
}

bool RegionMapping::repair_head() noexcept {
  // Another thread may set them meanwhile, its own first: then what it sets stays.
  const auto repair = [](const auto& own, auto& shared) {
    auto found = shared.load(std::memory_order_acquire);
    const auto right = own.load(std::memory_order_relaxed);
    return found != right && shared.compare_exchange_strong(found, right, std::memory_order_relaxed);
  };
  bool wrong = repair_modules(head_->modules);
  wrong |= repair(own_rules_.limit, head_->rules.limit);
  wrong |= repair(own_rules_.huge_pages_from, head_->rules.huge_pages_from);
  wrong |= repair(own_rules_.kept_by_worker, head_->rules.kept_by_worker);
  wrong |= repair(own_rules_.recalls, head_->rules.recalls);
  return wrong;
}

}  // namespace retinue::detail
