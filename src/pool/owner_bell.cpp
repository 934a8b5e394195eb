#include <retinue/detail/pool/owner_bell.hpp>

#include <cerrno>
#include <cstddef>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include <retinue/error.hpp>

#include "system/fork_watch.hpp"
#include "system/futex.hpp"

namespace retinue::detail {
namespace {

// The bell this process made, or nullptr before its first use. A forked child inherits page and pointer (its
// parent's tasks ring there) but makes a bell of its own for what it waits for itself, when it first asks.
std::atomic<OwnerBell*> bell_of_process{nullptr};

// Beside the bell in its page: the process it was made in. Written before the bell is published.
thread_local bool short_sleeps = false;

constexpr std::size_t kGenerationOffset = 64;
unsigned& generation_of(OwnerBell* bell) noexcept {
  return *std::launder(reinterpret_cast<unsigned*>(reinterpret_cast<std::byte*>(bell) + kGenerationOffset));
}

}  // namespace

OwnerBell& OwnerBell::of_this_process() {
  OwnerBell* known = bell_of_process.load(std::memory_order_acquire);
  const unsigned generation = fork_generation();
  if (known != nullptr && generation_of(known) == generation) return *known;

  const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const page = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw ResourceExhausted("mmap of one shared page for the owner's doorbell failed", errno);
  auto* const fresh = ::new (page) OwnerBell;
  ::new (static_cast<void*>(static_cast<std::byte*>(page) + kGenerationOffset)) unsigned(generation);
  if (bell_of_process.compare_exchange_strong(known, fresh, std::memory_order_acq_rel)) return *fresh;
  ::munmap(page, bytes);  // another thread was quicker
  return *known;
}

void OwnerBell::ring(std::uint32_t mask) noexcept {
  word_.fetch_add(1, std::memory_order_seq_cst);
  futex_wake(word_, mask);
}

bool OwnerBell::wait(std::uint32_t seen, const Deadline& deadline, std::uint32_t mask) noexcept {
  if (!short_sleeps) return futex_wait(word_, seen, mask, deadline);
  const auto soon = Clock::now() + std::chrono::milliseconds(2);
  if (deadline && *deadline <= soon) return futex_wait(word_, seen, mask, deadline);
  futex_wait(word_, seen, mask, soon);
  return true;
}

void OwnerBell::keep_sleeps_short() noexcept { short_sleeps = true; }

}  // namespace retinue::detail
