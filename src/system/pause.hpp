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

/// Fetches a cache line that will be written, and takes it from whichever CPU has it. The compilers'
/// prefetch for writing is one for reading on the oldest x86-64, for which they compile by default.
inline void prefetch_to_write(const void* p) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(p)));
#else
  __builtin_prefetch(p, 1);
#endif
}

}  // namespace retinue::detail
