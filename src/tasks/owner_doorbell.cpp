#include <retinue/detail/tasks/owner_doorbell.hpp>

#include <cerrno>
#include <cstddef>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include <retinue/error.hpp>

#include "system/calls.hpp"
#include "system/file_identity.hpp"
#include "system/fork_watch.hpp"
#include "system/futex.hpp"
#include "system/memfd.hpp"
#include "system/sanitizer.hpp"

namespace retinue::detail {
namespace {

// The doorbell this process made, or nullptr before its first use. A forked child inherits page and pointer (its
// parent's tasks ring there) but makes a doorbell of its own for what it waits for itself, when it first asks.
std::atomic<OwnerDoorbell*> doorbell_of_process{nullptr};

thread_local bool short_sleeps = false;

/// Beside the doorbell in its page; written before the doorbell is published.
struct Maker {
  std::uint64_t generation;  // of the process it was made in
  int memfd;
  FileIdentity file;
};
constexpr std::size_t kMakerOffset = 64;
Maker& maker_of(const OwnerDoorbell* doorbell) noexcept {
  auto* page = reinterpret_cast<std::byte*>(const_cast<OwnerDoorbell*>(doorbell));
  return *std::launder(reinterpret_cast<Maker*>(page + kMakerOffset));
}

std::size_t page_size() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

// Like the region's: where a program started anew is likely to have the same address free, one a level of owners.
void* map_page(int fd) noexcept {
  constexpr std::uintptr_t kWish = 0x10f0'0000'0000;
  for (std::uintptr_t level = 0; level < 16 && !has_thread_sanitizer(); ++level) {
    const std::uintptr_t wish = kWish + level * page_size();
    void* const page = sys::mmap(reinterpret_cast<void*>(wish), page_size(), PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
    if (reinterpret_cast<std::uintptr_t>(page) == wish) return page;
    if (page != MAP_FAILED) ::munmap(page, page_size());
  }
  return sys::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

}  // namespace

OwnerDoorbell& OwnerDoorbell::of_this_process() {
  OwnerDoorbell* known = doorbell_of_process.load(std::memory_order_acquire);
  const std::uint64_t generation = fork_generation();
  if (known != nullptr && maker_of(known).generation == generation) return *known;

  UniqueFd file = create_memfd("retinue-doorbell");
  reserve(file.get(), 0, page_size());
  const FileIdentity identity(file.get());
  if (!identity.is_known()) throw_call_failed("fstat", errno, "the owner's doorbell");
  void* const page = map_page(file.get());
  if (page == MAP_FAILED) throw ResourceExhausted("mmap of one shared page for the owner's doorbell failed", errno);
  auto* const fresh = ::new (page) OwnerDoorbell;  // cppcheck-suppress legacyUninitvar ; it is made just there
  ::new (static_cast<void*>(static_cast<std::byte*>(page) + kMakerOffset)) Maker{generation, file.get(), identity};
  if (doorbell_of_process.compare_exchange_strong(known, fresh, std::memory_order_acq_rel)) {
    (void)file.release();
    return *fresh;
  }
  ::munmap(page, page_size());  // another thread was quicker
  return *known;
}

int OwnerDoorbell::memfd() const noexcept {
  const Maker& maker = maker_of(this);
  return maker.file.is(maker.memfd) ? maker.memfd : -1;
}

OwnerDoorbell& OwnerDoorbell::attach(int memfd, std::uintptr_t address) {
  void* const page = sys::mmap(reinterpret_cast<void*>(address), page_size(), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_FIXED_NOREPLACE, memfd, 0);
  if (reinterpret_cast<std::uintptr_t>(page) != address)
    throw ResourceExhausted("mmap of the owner's doorbell at its address, where this program has something else",
                            errno);
  return *std::launder(static_cast<OwnerDoorbell*>(page));
}

void OwnerDoorbell::ring(std::uint32_t mask) noexcept {
  word_.fetch_add(1, std::memory_order_seq_cst);
  futex_wake(word_, mask);
}

bool OwnerDoorbell::wait(std::uint32_t seen, const Deadline& deadline, std::uint32_t mask) noexcept {
  if (!short_sleeps) return futex_wait(word_, seen, mask, deadline);
  const auto soon = Clock::now() + std::chrono::milliseconds(2);
  if (deadline && *deadline <= soon) return futex_wait(word_, seen, mask, deadline);
  futex_wait(word_, seen, mask, soon);
  return true;
}

void OwnerDoorbell::keep_sleeps_short() noexcept { short_sleeps = true; }

}  // namespace retinue::detail
