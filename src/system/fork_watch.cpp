#include "fork_watch.hpp"

#include <atomic>
#include <pthread.h>

namespace retinue::detail {
namespace {

std::atomic<unsigned> generation{1};
// Registered when the library is loaded, so that no fork is missed.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

unsigned fork_generation() noexcept { return generation.load(std::memory_order_relaxed); }

}  // namespace retinue::detail
