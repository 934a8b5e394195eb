// The system's clock, as this program and its workers see it, jumps when the board says so.
//
// The program's own definitions take the place of the C library's, so that what asks for the time of day through it
// (the engine, libstdc++'s system_clock) gets a wrong answer. The kernel's clock is left alone: it belongs to the
// machine. Sanitizers have definitions of their own, so under them no clock jumps.
#include "board.hpp"
#include "sanitized.hpp"

#include <cstdlib>
#include <ctime>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace retinue_chaos {

Board& board() {
  static Board* const all = [] {
    void* p = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    return static_cast<Board*>(p);
  }();
  return *all;
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

timespec jumped() noexcept {
  timespec now{};
  ::syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  const std::int64_t ns = now.tv_sec * kSecond + now.tv_nsec + board().clock_jump_ns.load(std::memory_order_relaxed);
  return {ns / kSecond, ns % kSecond};
}

}  // namespace
#endif
}  // namespace retinue_chaos

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
extern "C" {

int clock_gettime(clockid_t clock, timespec* to) noexcept {
  if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
    return static_cast<int>(::syscall(SYS_clock_gettime, clock, to));
  *to = retinue_chaos::jumped();
  return 0;
}

int gettimeofday(timeval* to, void*) noexcept {
  const timespec now = retinue_chaos::jumped();
  *to = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

time_t time(time_t* to) noexcept {
  const timespec now = retinue_chaos::jumped();
  if (to != nullptr) *to = now.tv_sec;
  return now.tv_sec;
}

}  // extern "C"
#endif
