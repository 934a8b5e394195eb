// Which sanitizer the program has. The library need not be compiled with it: a user's program is, and is linked with this
// library as it was installed. So it is asked for when the program runs, and nowhere a matter of the compiler's macros.
#pragma once

// In the runtimes of the sanitizers; null in a program without.
extern "C" {
[[gnu::weak]] void __tsan_init();
[[gnu::weak]] void __sanitizer_print_stack_trace();
}

namespace retinue::detail {

/// Its shadow takes most addresses, a wish for one of these ends the program, and signals may be delivered late.
inline bool has_thread_sanitizer() noexcept { return &__tsan_init != nullptr; }
/// Of any kind: it has private memory of its own that looks like the program's.
inline bool has_sanitizer() noexcept { return &__sanitizer_print_stack_trace != nullptr || has_thread_sanitizer(); }

}  // namespace retinue::detail
