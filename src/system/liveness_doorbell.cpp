#include "liveness_doorbell.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include "calls.hpp"
#include "futex.hpp"

namespace retinue::detail {
namespace {
constexpr std::uint32_t kEveryone = ~std::uint32_t{0};
}

void LivenessDoorbell::ring() noexcept {
  word_.fetch_and(~kNotRung, std::memory_order_seq_cst);
  futex_wake(word_, kEveryone);
}

void LivenessDoorbell::wait(const std::optional<std::chrono::steady_clock::time_point>& deadline) noexcept {
  const std::uint32_t seen = word_.load(std::memory_order_seq_cst);
  if ((seen & kNotRung) != 0 && (seen & FUTEX_OWNER_DIED) == 0) futex_wait(word_, seen, kEveryone, deadline);
}

void LivenessDoorbell::restore(pid_t holder) noexcept {
  std::uint32_t seen = word_.load(std::memory_order_relaxed);
  while (!word_.compare_exchange_weak(seen, (seen & kNotRung) | static_cast<std::uint32_t>(holder),
                                      std::memory_order_seq_cst)) {
  }
}

LivenessDoorbell::Hold::Hold(LivenessDoorbell& doorbell) noexcept : doorbell_(doorbell) {
  link_.next = &list_.list;
  list_.list.next = &link_;
  list_.futex_offset = reinterpret_cast<std::intptr_t>(&doorbell.word_) - reinterpret_cast<std::intptr_t>(&link_);
  doorbell.restore(static_cast<pid_t>(::syscall(SYS_gettid)));
  sys::set_robust_list(&list_, sizeof list_);
}

LivenessDoorbell::Hold::~Hold() {
  doorbell_.restore(0);
  list_.list.next = &list_.list;  // for a kernel that refuses the next
  sys::set_robust_list(nullptr, sizeof list_);
}

}  // namespace retinue::detail
