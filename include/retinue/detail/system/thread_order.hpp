// What the thread sanitizer of a program has to be told by code that was compiled without it.
#pragma once

// RETINUE_DETAIL_IN_LIBRARY stands for the library's own sources: a user's code has the sanitizer or needs none of this.
#if defined(RETINUE_DETAIL_IN_LIBRARY) && !defined(__SANITIZE_THREAD__)
#define RETINUE_DETAIL_SAYS_ORDER 1
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#undef RETINUE_DETAIL_SAYS_ORDER
#endif
#endif
#endif

#if defined(RETINUE_DETAIL_SAYS_ORDER)
// There if the program is linked with the sanitizer's runtime.
extern "C" {
[[gnu::weak]] void __tsan_release(void* address);
[[gnu::weak]] void __tsan_acquire(void* address);
}
#endif

namespace retinue::detail {

/// The thread sanitizer sees atomics only in code that it has instrumented. The library that is installed is not: that a task
/// runs after its submission, and is read after its end, would be races to a user's program with -fsanitize=thread. So what
/// hands a user's data from one thread to another in the library says so: what this thread has done before `order_before(at)`
/// comes before what another does after an `order_after(at)` that follows it. Each stands beside the atomic that makes it so.
/// Without the sanitizer it costs a test of a constant, and outside of the library's sources nothing.
inline void order_before([[maybe_unused]] const void* at) noexcept {
#if defined(RETINUE_DETAIL_SAYS_ORDER)
  if (&__tsan_release != nullptr) [[unlikely]]
    __tsan_release(const_cast<void*>(at));
#endif
}
inline void order_after([[maybe_unused]] const void* at) noexcept {
#if defined(RETINUE_DETAIL_SAYS_ORDER)
  if (&__tsan_acquire != nullptr) [[unlikely]]
    __tsan_acquire(const_cast<void*>(at));
#endif
}

}  // namespace retinue::detail
