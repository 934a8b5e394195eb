// How long tests wait, and how much less they do where a sanitizer slows them down.
#pragma once

#include <chrono>
#include <time.h>

namespace retinue_test {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

#if defined(__SANITIZE_THREAD__)
constexpr int kSlowdown = 10;  ///< how much less a test does under a sanitizer
constexpr int kPatience = 5;   ///< how much longer it may take
#elif defined(__SANITIZE_ADDRESS__)
constexpr int kSlowdown = 4;
constexpr int kPatience = 3;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr int kSlowdown = 10;
constexpr int kPatience = 5;
#else
constexpr int kSlowdown = 1;
constexpr int kPatience = 1;
#endif
#else
constexpr int kSlowdown = 1;
constexpr int kPatience = 1;
#endif

/// As long as anything may take that is expected at once; for waits, never for a measurement.
constexpr std::chrono::seconds kSoon{10 * kPatience};

inline void nap(std::chrono::microseconds time = 200us) {
  timespec t{time.count() / 1'000'000, static_cast<long>(time.count() % 1'000'000) * 1000};
  ::nanosleep(&t, nullptr);
}

/// Polls `condition` until it holds; false if it does not within the time.
template <class F>
bool eventually(F&& condition, std::chrono::milliseconds within = kSoon) {
  const auto deadline = Clock::now() + within;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    nap(500us);
  }
  return true;
}

}  // namespace retinue_test
