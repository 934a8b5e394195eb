#include "region.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <pthread.h>
#include <string>
#include <unistd.h>
#include <utility>

#include <retinue/error.hpp>

#include "system/memfd.hpp"

namespace retinue::detail {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kTrimmedAtOnce = std::uint64_t{1} << 20;  // where no pool is there to wait for an idle period
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

std::uint64_t physical_memory() noexcept {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
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

Region::Region() {
  warm_share_.set_wanted(bytes_from_environment("RETINUE_SHARED_MEMORY_KEPT", 0));
  addresses_.give({head_bytes(), reach() - head_bytes()});
  heap_ = std::make_unique<BlockHeap>(file_, allocate_addresses(reach() / 4), &own_rules_);
  use_huge_pages_if_wanted();
}

Region::Region(int memfd, std::uintptr_t base, std::uint64_t reach) : RegionMapping(memfd, base, reach) {
  use_huge_pages_if_wanted();
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
  for (const Region* region = newest_region; region != nullptr; region = region->older_) bytes += region->reach();
  return bytes;
}

void Region::note_peak() noexcept { peak_ = std::max(peak_, heap_->bytes_in_use() + result_bytes_); }

Extent Region::allocate_addresses(std::uint64_t bytes) {
  const Extent extent = addresses_.take_first(bytes);
  if (extent.length == 0)
    throw ResourceExhausted("the shared region's addresses are used up: " + std::to_string(reach()) + " bytes, " +
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

std::uint64_t Region::allocate_for_writing(std::uint64_t bytes, ColdBlock& cold) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t offset = heap_->allocate_for_writing(bytes, cold);
  ++uses_;
  ++owner_blocks_;
  note_peak();
  return offset;
}

void Region::abandon(std::uint64_t offset, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  ++uses_;
  --owner_blocks_;
  try {
    heap_->abandon(offset, bytes);
  } catch (const std::exception&) {
    // The block is lost until the process ends, nothing else is.
  }
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
  for (std::uint64_t length = std::clamp(share, kGiB / 64, std::bit_ceil(physical_memory()));
       arena->extent_.length == 0; length /= 2) {
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
    if (BlockHeap::is_kept_warm(bytes)) workers_may_keep_ = true;
    notify_trim_subscribers();
  } else {
    drop_pages({offset, BlockHeap::footprint(bytes)});
    finish_arena_if_empty(arena);
  }
}

void Region::trim() noexcept {
  const std::lock_guard lock(mutex_);
  recall(0);
  for (Doorbell* doorbell : trim_subscribers_) doorbell->ring();  // their threads wake the workers
}

void Region::notify_trim_subscribers() noexcept {
  if (trim_requested_ || trim_subscribers_.empty()) return;
  trim_requested_ = true;
  idle_.stop();
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
    workers_may_keep_ = false;  // there are none any more
  }
  trim();
}

Region::TrimSchedule Region::trim_schedule(std::optional<std::chrono::steady_clock::time_point> again) const noexcept {
  return {again, idle_periods_, own_rules_.recalls.load(std::memory_order_relaxed)};
}

Region::TrimSchedule Region::trim_when_idle() noexcept {
  const std::lock_guard lock(mutex_);
  if (!trim_requested_) return trim_schedule(std::nullopt);
  const bool first = !idle_.end();
  const IdlePeriods::Look period = idle_.look(uses_, std::chrono::steady_clock::now());
  if (!first && !period.at_end) return trim_schedule(idle_.end());
  // At the first look, too: workers that go to sleep now must know what they may keep.
  warm_share_.look(heap_->bytes_warm(), arenas_.size(), limit() != MemoryRules::kNone);
  set_kept_by_worker(warm_share_.of_worker());
  if (warm_share_.memory_is_short()) {
    recall(0);
  } else if (period.at_end && period.was_idle) {
    // Only once for what came back: a worker that is woken anew waits for two seconds anew.
    if (std::exchange(uses_at_rest_, uses_) != uses_) ++idle_periods_;
    if (warm_share_.of_worker() == 0) recall(warm_share_.of_owner());  // one that sleeps may have kept more than that
    else trim_to(warm_share_.of_owner());
  }
  // Not before an idle period: else the next block that comes back would have it all looked at again.
  if (!period.at_end || !period.was_idle || heap_->bytes_warm() != 0 || workers_may_keep_)
    return trim_schedule(idle_.end());
  trim_requested_ = false;
  return trim_schedule(std::nullopt);
}

// All that is warm is wanted back but for `keep` of the owner's, from workers all.
void Region::recall(std::uint64_t keep) noexcept {
  trim_to(keep);
  if (!std::exchange(workers_may_keep_, false)) return;
  recall_warm_memory();
}

void Region::trim_to(std::uint64_t keep) noexcept {
  try {
    heap_->trim(keep);
  } catch (const std::exception&) {
    // What was not returned now is tried again after the next period.
  }
}

void Region::set_kept(std::optional<std::uint64_t> bytes) noexcept {
  const std::lock_guard lock(mutex_);
  warm_share_.set_wanted(bytes);
  recall(heap_->bytes_warm());  // workers that sleep have kept what was their share before
  trim_requested_ = false;
  notify_trim_subscribers();
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
