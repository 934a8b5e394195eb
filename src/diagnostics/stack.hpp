// Stacks that cross from a worker to its owner: taken in the worker as bare addresses (in a crash, or where
// an exception is thrown), turned into names by the owner.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <sys/types.h>

namespace retinue::detail {

constexpr std::uint32_t kStackFrames = 48;

/// A stack as plain data, innermost frame first; lies in shared memory. A worker writes it, and may scribble
/// over it: readers trust no field. Valid at any instant: `count` grows only after its frame is written.
struct StackRecord {
  std::uint32_t count = 0;
  std::uint32_t overflowed = 0;  ///< kOverflowed: the stack was used up
  /// Addresses of the worker's code, each inside the instruction that was running there (for a caller: its
  /// call, not the instruction after), so that they can be looked up as they are.
  std::uint64_t frames[kStackFrames] = {};
};
static_assert(sizeof(StackRecord) == 8 + 8 * kStackFrames && alignof(StackRecord) == 8);
/// A value that a stray write hardly hits.
constexpr std::uint32_t kOverflowed = 0x0f10f70a;

/// What a language's runtime has to say of a crash; lies in shared memory, and is as little to be trusted. `size` grows only
/// after its bytes are written.
struct CrashNote {
  std::uint32_t size = 0;
  char text[1060] = {};
};
static_assert(sizeof(CrashNote) == 1064);
/// Writes such a note, in a signal handler, when all else was recorded: it may read whatever it likes, for if it crashes or
/// hangs the process ends as it would have. `text` has room for so many bytes, of lines that end in a newline.
using WriteCrashNote = void (*)(char* text, std::uint32_t room, std::uint32_t& size) noexcept;
/// The note as text that can be shown: cut at what it can be, without control characters. Throws bad_alloc.
std::string text_of(const CrashNote& note);

/// Loads what unwinding needs, so that capture_stack does not allocate later. Call once in each worker.
void warm_up_stack_capture() noexcept;

/// Writes the calling thread's stack, from the caller on. Async-signal-safe as far as the compiler's unwinder
/// is (with glibc >= 2.35 it takes no lock for modules known to the dynamic linker).
void capture_stack(StackRecord& into) noexcept;

/// Names for `record`, one line a frame: "  at function (file:line)", or "  at function (module)" and
/// "  at module+0xoffset" where less is known. Call it in the owner: the addresses are looked up in this
/// process, so they are right for modules loaded here before the worker was forked; for others
/// /proc/`worker_pid`/maps is asked while the worker lives. Left out: the C++ runtime's throw machinery at the
/// inner end, the engine (namespace retinue::detail and what called it) at the outer end.
///
/// Thread-safe; the first call reads symbol tables (milliseconds), later ones are cached under a lock. Safe in
/// a forked child: it never touches its parent's cache. Throws bad_alloc only.
std::string describe_stack(const StackRecord& record, pid_t worker_pid);
/// If the stack was used up, a line that says so, with its newline; else nothing.
std::string describe_overflow(const StackRecord& record);

/// Makes SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGABRT store the signal in `signal_seen`, write the stack of the
/// faulting code to `where`, have `write` write to `note` (if neither is null), and then end the process by that very
/// signal (default action). All must live as long as the process. The calling thread gets an alternate stack, so that its stack overflows are recorded
/// too; call it again in other threads for the same, or to change the targets.
///
/// If the stack is too damaged to be walked, or the walk hangs, the process still ends within about a second,
/// maybe by another signal (SIGSEGV, SIGALRM): what `signal_seen` holds is the cause, and `where` holds the
/// frames found until then.
///
/// Under AddressSanitizer this takes the place of its handlers for these signals: theirs print and then exit
/// with code 1, which would hide the signal from the owner. Its reports of bad accesses are not touched.
void install_crash_handlers(StackRecord* where, std::atomic<int>* signal_seen, CrashNote* note = nullptr,
                            WriteCrashNote write = nullptr);

/// Calls fn(arg). If an exception leaves fn, and nothing in fn catches it, the stack at its throw is kept in
/// this thread's throw_site() before anything is unwound; then the exception goes on to the caller. What is
/// caught within fn leaves no trace. Costs one indirect call while nothing is thrown. A `throw;` or
/// rethrow_exception counts as the throw. On machines other than x86-64 and AArch64 no stack is kept.
void call_with_throw_site(void (*fn)(void*), void* arg) asm("retinue_detail_call_with_throw_site");

/// The stack of the last exception that left a call_with_throw_site in this thread; count is 0 if none did
/// since clear_throw_site.
const StackRecord& throw_site() noexcept;
void clear_throw_site() noexcept;

}  // namespace retinue::detail
