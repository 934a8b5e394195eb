// What a polling loop does between two looks.
#pragma once

#include <sched.h>

namespace retinue::detail {

/// Tells the CPU that this is a polling loop: tens of nanoseconds.
inline void cpu_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

inline void cpu_pause(unsigned times) noexcept {
  for (unsigned i = 0; i < times; ++i) cpu_pause();
}

}  // namespace retinue::detail
