// Whether a sanitizer is watching: it is slower, and some of what a task does would be reported rather than done.
#pragma once

#if defined(__has_feature)
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

namespace retinue_chaos {

#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitized = true;
constexpr bool kSanitized = true;
#elif defined(__SANITIZE_ADDRESS__)
constexpr bool kThreadSanitized = false;
constexpr bool kSanitized = true;
#else
constexpr bool kThreadSanitized = false;
constexpr bool kSanitized = false;
#endif

}  // namespace retinue_chaos
