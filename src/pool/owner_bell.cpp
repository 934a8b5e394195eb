#include <retinue/detail/pool/owner_bell.hpp>

#include <cerrno>
#include <new>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <retinue/error.hpp>

#include "pool/fork_generation.hpp"
#include "system/futex.hpp"

namespace retinue::detail {
namespace {

// The bell this process made, or nullptr before its first use. A forked child inherits the page (its
// parent's tasks ring there) but forgets the pointer: what the child itself waits for has a bell of its own.
std::atomic<OwnerBell*> bell_of_process{nullptr};
std::atomic<std::uint32_t> generation{0};

// Runs in the child of a fork, where only async-signal-safe calls are allowed: two plain stores are.
extern "C" void retinue_forget_parent() noexcept {
  bell_of_process.store(nullptr, std::memory_order_relaxed);
  generation.fetch_add(1, std::memory_order_relaxed);
}

// Failure (no memory) leaves the bell shared with the parent: needless wakes, nothing worse.
void watch_forks() noexcept {
  [[maybe_unused]] static const int registered = ::pthread_atfork(nullptr, nullptr, retinue_forget_parent);
}

}  // namespace

std::uint32_t fork_generation() noexcept {
  watch_forks();
  return generation.load(std::memory_order_relaxed);
}

OwnerBell& OwnerBell::of_this_process() {
  if (OwnerBell* const known = bell_of_process.load(std::memory_order_acquire)) return *known;
  watch_forks();
  const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* const page = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw ResourceExhausted("mmap of one shared page for the owner's doorbell failed", errno);
  auto* const fresh = ::new (page) OwnerBell;
  OwnerBell* first = nullptr;
  if (bell_of_process.compare_exchange_strong(first, fresh, std::memory_order_acq_rel)) return *fresh;
  ::munmap(page, bytes);  // another thread was quicker
  return *first;
}

void OwnerBell::ring(std::uint32_t mask) noexcept {
  word_.fetch_add(1, std::memory_order_seq_cst);
  futex_wake(word_, mask);
}

bool OwnerBell::wait(std::uint32_t seen, const Deadline& deadline, std::uint32_t mask) noexcept {
  return futex_wait(word_, seen, mask, deadline);
}

}  // namespace retinue::detail
