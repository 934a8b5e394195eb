#include "region.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <pthread.h>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utility>

#include <retinue/error.hpp>

#include "system/calls.hpp"
#include "system/memfd.hpp"

namespace retinue::detail {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kTrimmedAtOnce = std::uint64_t{1} << 20;  // where no pool is there to wait for an idle period
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;
#if defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kMaxAddresses = 256 * kGiB;  // its shadow leaves no more
#else
constexpr std::uint64_t kMaxAddresses = 16 * 1024 * kGiB;
#endif
constexpr std::uint64_t kMinAddresses = kGiB / 4;

void* map_shared(std::uintptr_t wish, std::uint64_t bytes, int fd, int flags = 0) noexcept {
  return sys::mmap(reinterpret_cast<void*>(wish), bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | flags, fd,
                   0);
}

// Where a program keeps nothing of its own, so that one started anew can have the region at the same address; several,
// for workers that make pools inherit the regions of their owners. Anywhere else if none is free.
void* map_where_wished(std::uint64_t bytes, int fd) noexcept {
#if !defined(__SANITIZE_THREAD__)  // which has its shadow there, and ends a program that wishes for it
  for (std::uintptr_t wish = 0x1100'0000'0000; wish < 0x5100'0000'0000; wish += 0x1000'0000'0000) {
    void* p = map_shared(wish, bytes, fd, MAP_FIXED_NOREPLACE);
    if (p == MAP_FAILED) continue;
    if (reinterpret_cast<std::uintptr_t>(p) == wish) return p;
    munmap(p, bytes);  // a kernel that does not know the flag
  }
#endif
  return map_shared(0, bytes, fd);
}

std::uint64_t round_to_page(std::uint64_t n) noexcept { return (n + kPage - 1) / kPage * kPage; }

std::uint64_t machine_memory() noexcept {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t file_size_limit() noexcept {
  rlimit limit{};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur : ~std::uint64_t{0};
}

bool huge_pages_wanted() noexcept {
  const char* text = std::getenv("RETINUE_HUGE_PAGES");
  return text != nullptr && *text != '\0' && std::strcmp(text, "0") != 0;
}

std::mutex& making_mutex() {
  static std::mutex mutex;
  return mutex;
}
std::atomic<Region*> own_region{nullptr};
Region* newest_region = nullptr;  // keeps inherited ones in reach, so that no leak checker takes them for lost

// A forked child's regions are its parent's: it makes its own when it needs one. The mutex is held over
// the fork so that the child never inherits it locked.
void watch_forks() {
  static const int once = pthread_atfork([] { making_mutex().lock(); }, [] { making_mutex().unlock(); },
                                         [] {
                                           own_region.store(nullptr, std::memory_order_relaxed);
                                           making_mutex().unlock();
                                         });
  (void)once;
}

}  // namespace

Region& Region::of_this_process() {
  if (Region* region = own_region.load(std::memory_order_acquire)) return *region;
  watch_forks();
  const std::lock_guard lock(making_mutex());
  if (Region* region = own_region.load(std::memory_order_relaxed)) return *region;
  auto* region = new Region();  // never deleted: futures and shared arrays may live in statics
  region->older_ = newest_region;
  newest_region = region;
  own_region.store(region, std::memory_order_release);
  return *region;
}

Region::Region() : memfd_(create_memfd("retinue")), file_(memfd_.get()) {
  if (file_size_limit() < kMinAddresses)
    throw ResourceExhausted(
        "the shared region needs " + std::to_string(kMinAddresses) + " bytes at least, and the limit of " +
            std::to_string(file_size_limit()) +
            " bytes for files (ulimit -f, RLIMIT_FSIZE) counts for it too: raise it, and set a lower one "
            "in the workers' initializer or in tasks",
        EFBIG);
  const std::uint64_t most = std::min(kMaxAddresses, std::bit_floor(file_size_limit()));
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
    const std::uint64_t head = round_to_page(sizeof(RegionHead));
    const std::uint64_t limit = limit_from_environment();
    reserve(memfd_.get(), 0, head);
    head_ = new (base_) RegionHead();
    set_limit(limit);
    attach_modules(head_->modules);
    addresses_.give({head, reach_ - head});
    heap_ = std::make_unique<BlockHeap>(file_, allocate_addresses(reach_ / 4), &own_rules_);
    if (huge_pages_wanted()) use_huge_pages();
  } catch (...) {
    if (head_ != nullptr) detach_modules(head_->modules);
    munmap(base_, reach_);
    throw;
  }
}

Region::Region(int memfd, std::uintptr_t base, std::uint64_t reach) : memfd_(memfd), file_(memfd), reach_(reach) {
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
  if (huge_pages_wanted()) use_huge_pages();
}

Region& Region::attach(int memfd, std::uintptr_t base, std::uint64_t reach) {
  const std::lock_guard lock(making_mutex());
  auto* region = new Region(memfd, base, reach);
  region->older_ = newest_region;
  newest_region = region;
  return *region;
}

std::uint64_t Region::reserved_addresses() noexcept {
  std::uint64_t bytes = 0;
  for (const Region* region = newest_region; region != nullptr; region = region->older_) bytes += region->reach_;
  return bytes;
}

bool Region::use_huge_pages() noexcept {
  if (sys::madvise(base_, reach_, MADV_HUGEPAGE) != 0) return false;
  for (MemoryRules* rules : {&own_rules_, &head_->rules})
    rules->huge_pages_from.store(reinterpret_cast<std::uintptr_t>(base_), std::memory_order_relaxed);
  return true;
}

void Region::set_limit(std::uint64_t bytes) noexcept {
  for (MemoryRules* rules : {&own_rules_, &head_->rules}) rules->limit.store(bytes, std::memory_order_relaxed);
}

bool Region::repair_head() noexcept {
  const auto repair = [](const auto& own, auto& shared) {
    const auto right = own.load(std::memory_order_relaxed);
    if (shared.load(std::memory_order_relaxed) == right) return false;
    shared.store(right, std::memory_order_relaxed);
    return true;
  };
  bool wrong = repair_modules(head_->modules);
  wrong |= repair(own_rules_.limit, head_->rules.limit);
  wrong |= repair(own_rules_.huge_pages_from, head_->rules.huge_pages_from);
  return wrong;
}

void Region::note_peak() noexcept { peak_ = std::max(peak_, heap_->bytes_in_use() + result_bytes_); }

Extent Region::allocate_addresses(std::uint64_t bytes) {
  const Extent extent = addresses_.take_first(bytes);
  if (extent.length == 0)
    throw ResourceExhausted("the shared region's addresses are used up: " + std::to_string(reach_) + " bytes, " +
                                std::to_string(arenas_.size()) + " arenas of workers",
                            0);
  return extent;
}

void Region::free_addresses(Extent extent) noexcept {
  try {
    addresses_.give(extent);
  } catch (const std::bad_alloc&) {
    // These addresses are not used again; there are terabytes of them.
  }
}

// False if they keep their pages and what is in them. Then what comes zeroed must be zeroed.
bool Region::drop_pages(Extent extent) noexcept {
  const std::uint64_t begin = round_to_page(extent.offset), end = extent.end() / kPage * kPage;
  try {
    if (begin < end) file_.punch_hole(begin, end - begin);
    return true;
  } catch (const std::exception&) {
    unclean_ = true;
    return false;
  }
}

Extent Region::allocate_control(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const Extent extent = allocate_addresses(round_to_page(bytes));
  try {
    reserve_within(own_rules_, file_, extent);
  } catch (...) {
    addresses_.give(extent);
    throw;
  }
  if (unclean_) std::memset(at(extent.offset), 0, extent.length);
  return extent;
}

void Region::free_control(Extent extent) noexcept {
  const std::lock_guard lock(mutex_);
  drop_pages(extent);
  free_addresses(extent);
}

std::uint64_t Region::allocate(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t offset = heap_->allocate(bytes);
  ++uses_;
  ++owner_blocks_;
  note_peak();
  return offset;
}

void Region::free(std::uint64_t offset, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  ++uses_;
  --owner_blocks_;
  try {
    heap_->free(offset, bytes);
    if (heap_->bytes_warm() != 0) notify_trim_subscribers();
    if (trim_subscribers_.empty() && heap_->bytes_warm() >= kTrimmedAtOnce) heap_->trim();
  } catch (const std::bad_alloc&) {
    // No memory to note it as free: the block is lost until the process ends, nothing else is.
  }
}

Arena* Region::make_arena(ReturnStack* home, unsigned workers) {
  const std::lock_guard lock(mutex_);
  auto arena = std::make_unique<Arena>();
  const std::uint64_t share = std::bit_floor(addresses_.free_bytes() / (8 * std::max(workers, 1u)));
  for (std::uint64_t length = std::clamp(share, kGiB / 64, std::bit_ceil(machine_memory())); arena->extent_.length == 0;
       length /= 2) {
    if (length < kGiB / 64) throw ResourceExhausted("no addresses left in the shared region for a worker's arena", 0);
    arena->extent_ = addresses_.take_first(length);
  }
  arena->home_ = home;
  try {
    arenas_.insert(arena.get());
  } catch (...) {
    addresses_.give(arena->extent_);
    throw;
  }
  return arena.release();
}

void Region::finish_arena_if_empty(Arena* arena) noexcept {
  if (arena->home_ != nullptr || !arena->live_.empty()) return;
  drop_pages(arena->extent_);  // also those that small blocks shared
  free_addresses(arena->extent_);
  arenas_.erase(arena);
  delete arena;
}

void Region::retire(Arena* arena) noexcept {
  const std::lock_guard lock(mutex_);
  arena->home_ = nullptr;
  std::uint64_t from = arena->extent_.offset;
  for (const auto& [offset, bytes] : arena->live_) {
    drop_pages({from, offset - from});
    from = offset + BlockHeap::footprint(bytes);
  }
  drop_pages({from, arena->extent_.end() - from});
  if (!arena->live_.empty()) {  // keep the addresses of what lives only
    const std::uint64_t end = std::min(round_to_page(from), arena->extent_.end());
    free_addresses({end, arena->extent_.end() - end});
    arena->extent_.length = end - arena->extent_.offset;
  }
  finish_arena_if_empty(arena);
}

void Region::adopt(Arena* arena, std::uint64_t offset, std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > arena->extent_.length || !arena->extent_.holds(offset, BlockHeap::footprint(bytes)) ||
      offset % BlockHeap::kAlignment != 0)
    throw CodecError("a worker named a result outside of its own memory (it may have overwritten it)");
  const auto [at, fresh] = arena->live_.emplace(offset, bytes);
  if (!fresh) throw CodecError("a worker named the same memory for two results (it may have overwritten its memory)");
  if ((at != arena->live_.begin() && std::prev(at)->first + std::prev(at)->second > offset) ||
      (std::next(at) != arena->live_.end() && offset + bytes > std::next(at)->first)) {
    arena->live_.erase(at);
    throw CodecError("a worker named overlapping memory for two results (it may have overwritten its memory)");
  }
  result_bytes_ += BlockHeap::footprint(bytes);
  ++result_blocks_;
  note_peak();
}

void Region::release(Arena* arena, std::uint64_t offset, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  ++uses_;
  arena->live_.erase(offset);
  result_bytes_ -= BlockHeap::footprint(bytes);
  --result_blocks_;
  if (arena->home_ != nullptr) {
    auto* link = reinterpret_cast<std::uint64_t*>(at(offset));
    link[1] = bytes;
    std::uint64_t top = arena->home_->top.load(std::memory_order_relaxed);
    do {
      link[0] = top;
      link[2] = check_of(offset, top, bytes);
    } while (
        !arena->home_->top.compare_exchange_weak(top, offset, std::memory_order_release, std::memory_order_relaxed));
    notify_trim_subscribers();
  } else {
    drop_pages({offset, BlockHeap::footprint(bytes)});
    finish_arena_if_empty(arena);
  }
}

void Region::trim() noexcept {
  const std::lock_guard lock(mutex_);
  try {
    heap_->trim();
  } catch (const std::exception&) {
    // What was not returned now is tried again after the next idle period.
  }
}

void Region::notify_trim_subscribers() noexcept {
  if (trim_requested_ || trim_subscribers_.empty()) return;
  trim_requested_ = true;
  idle_ends_.reset();
  for (Doorbell* doorbell : trim_subscribers_) doorbell->ring();
}

void Region::add_trim_subscriber(Doorbell& doorbell) {
  const std::lock_guard lock(mutex_);
  trim_subscribers_.push_back(&doorbell);
  if (trim_requested_) doorbell.ring();
  else if (heap_->bytes_warm() != 0) notify_trim_subscribers();
}

void Region::remove_trim_subscriber(Doorbell& doorbell) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (std::erase(trim_subscribers_, &doorbell) == 0) return;
    const bool was_requested = std::exchange(trim_requested_, false);
    if (was_requested) notify_trim_subscribers();  // one that came later was not notified
    if (!trim_subscribers_.empty()) return;
  }
  trim();
}

Region::TrimSchedule Region::trim_when_idle() noexcept {
  const std::lock_guard lock(mutex_);
  if (!trim_requested_) return {std::nullopt, idle_periods_};
  const auto now = std::chrono::steady_clock::now();
  if (!idle_ends_ || idle_since_ != uses_) {
    idle_since_ = uses_;
    idle_ends_ = now + std::chrono::seconds(2);
  }
  if (now < *idle_ends_) return {idle_ends_, idle_periods_};
  trim_requested_ = false;
  ++idle_periods_;
  try {
    heap_->trim();
  } catch (const std::exception&) {
    // What was not returned now is tried again after the next idle period.
  }
  return {std::nullopt, idle_periods_};
}

Region::Usage Region::usage() const {
  const std::lock_guard lock(mutex_);
  Usage usage;
  usage.owner_bytes = heap_->bytes_in_use();
  usage.warm_bytes = heap_->bytes_warm();
  usage.result_bytes = result_bytes_;
  usage.blocks = owner_blocks_ + result_blocks_;
  usage.peak_bytes = peak_;
  return usage;
}

}  // namespace retinue::detail
