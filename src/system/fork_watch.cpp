#include "fork_watch.hpp"

#include <atomic>
#include <pthread.h>

namespace retinue::detail {
namespace {

std::atomic<std::uint64_t> generation{1};

// Before all that is made in the initializers of the program, and so before any pool.
[[gnu::constructor(101)]] void watch_forks() {
  generation.fetch_add(reinterpret_cast<std::uintptr_t>(&generation) << kForkBits, std::memory_order_relaxed);
  pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });
}

}  // namespace

std::uint64_t fork_generation() noexcept { return generation.load(std::memory_order_relaxed); }

}  // namespace retinue::detail
