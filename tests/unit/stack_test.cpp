// Stacks of crashes and of throws, taken in a child and described here.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <new>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <unwind.h>

#include "diagnostics/stack.hpp"

// Each function below keeps a frame and a name of its own, and sanitizers do not report its error.
#if defined(__clang__)
#define NOINLINE __attribute__((noinline, no_sanitize("undefined", "address")))
#else
#define NOINLINE __attribute__((noipa, no_sanitize("undefined,address")))
#endif

namespace detail = retinue::detail;
using detail::StackRecord;

// Outside the anonymous namespace and with side effects after the call, so that each keeps a frame of its own.
volatile int sink = 0;

// The unwinder's entry, so that a test can make it hang as a held lock would.
volatile bool unwinder_hangs = false;
extern "C" _Unwind_Reason_Code _Unwind_Backtrace(_Unwind_Trace_Fn visit, void* argument) {
  while (unwinder_hangs) ::pause();
  static const auto real = reinterpret_cast<decltype(&_Unwind_Backtrace)>(::dlsym(RTLD_NEXT, "_Unwind_Backtrace"));
  const _Unwind_Reason_Code code = real(visit, argument);
  asm volatile("" ::: "memory");
  return code;
}

namespace crash_sites {

NOINLINE void writes_to_null() {
  volatile int* volatile nowhere = nullptr;
  *nowhere = 7;
  sink = sink + 1;
}
NOINLINE void calls_null() {
  void (*volatile nothing)() = nullptr;
  nothing();
  sink = sink + 1;
}
NOINLINE void calls_garbage() {
  auto* const nothing = reinterpret_cast<void (*)()>(std::uintptr_t{0x123450});
  void (*volatile garbage)() = nothing;
  garbage();
  sink = sink + 1;
}
NOINLINE int divides(int by) {
  const int quotient = 7 / by;
  sink = quotient;
  return quotient;
}
NOINLINE int recurses_for_ever(volatile char* above) {
  volatile char room[4096];
  room[0] = static_cast<char>(above[0] + 1);
  if (sink == -1) return 0;  // it never is, but the compiler cannot know
  const int n = recurses_for_ever(room);
  return n + room[0];
}
NOINLINE void aborts() { std::abort(); }
NOINLINE void raises(int signal) {
  std::raise(signal);
  sink = sink + 1;
}
NOINLINE void executes_nonsense() { __builtin_trap(); }
NOINLINE void smashes_its_stack() {
  auto* const frame = static_cast<volatile char*>(__builtin_frame_address(0));
  for (int i = 0; i < 600; ++i) frame[i] = 0x5a;
  calls_null();
  sink = sink + 1;
}
NOINLINE void outer(void (*inner)()) {
  inner();
  sink = sink + 1;
}

}  // namespace crash_sites

namespace throw_sites {

struct Guard {
  ~Guard() { sink = sink + 1; }
};
struct Fancy : std::runtime_error {
  using std::runtime_error::runtime_error;
  std::string ballast = std::string(100, 'x');
};
NOINLINE void deep_thrower() {
  sink = sink + 1;
  throw Fancy("deep");
}
NOINLINE void with_destructors() {
  const Guard one;
  const std::string text(1000, 'y');
  deep_thrower();
  sink = sink + static_cast<int>(text.size());
}
NOINLINE void throws_an_int() {
  sink = sink + 1;
  throw 42;
}
NOINLINE void catches_its_own() {
  try {
    throws_an_int();
  } catch (int) {
    sink = sink + 1;
  }
}

}  // namespace throw_sites

namespace {

using namespace std::chrono_literals;

struct Shared {
  StackRecord record;
  std::atomic<int> signal{0};
};

struct Ending {
  int status = 0;
  int signal_seen = 0;
  std::string stack;
  std::string overflow;
  std::chrono::steady_clock::duration took{};
};

// Runs `body` as a worker would: handlers first, then the body below call_with_throw_site.
Ending crash(void (*body)(void*)) {
  void* const at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& shared = *new (at) Shared;
  Ending ending;
  const auto start = std::chrono::steady_clock::now();
  const pid_t child = ::fork();
  if (child == 0) {
    detail::warm_up_stack_capture();
    detail::install_crash_handlers(&shared.record, &shared.signal);
    detail::call_with_throw_site(body, nullptr);
    ::_exit(0);
  }
  ::waitpid(child, &ending.status, 0);
  ending.took = std::chrono::steady_clock::now() - start;
  ending.signal_seen = shared.signal.load();
  ending.stack = detail::describe_stack(shared.record, child);
  ending.overflow = detail::describe_overflow(shared.record);
  ::munmap(at, 4096);
  return ending;
}

std::string line(const std::string& text, int number) {
  std::size_t start = 0;
  for (; number > 0; --number) start = text.find('\n', start) + 1;
  return text.substr(start, text.find('\n', start) - start);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

#define EXPECT_DIED_OF(ending, signal_number)                                       \
  do {                                                                              \
    EXPECT_TRUE(WIFSIGNALED((ending).status)) << (ending).status << (ending).stack; \
    EXPECT_EQ(WTERMSIG((ending).status), (signal_number));                          \
    EXPECT_EQ((ending).signal_seen, (signal_number));                               \
  } while (false)

TEST(CrashHandlers, the_first_frame_is_the_function_that_crashed_with_its_line) {
  const Ending e = crash([](void*) { crash_sites::outer(crash_sites::writes_to_null); });
  EXPECT_DIED_OF(e, SIGSEGV);
  EXPECT_TRUE(line(e.stack, 0).starts_with("  at crash_sites::writes_to_null() (")) << e.stack;
  const bool have_lines = contains(e.stack, ".cpp:");  // not in a build without -g
  EXPECT_EQ(contains(line(e.stack, 0), "stack_test.cpp:"), have_lines) << e.stack;
  EXPECT_TRUE(contains(line(e.stack, 1), "crash_sites::outer(")) << e.stack;
}

TEST(CrashHandlers, the_engine_and_what_called_it_are_left_out) {
  const Ending e = crash([](void*) { crash_sites::outer(crash_sites::writes_to_null); });
  for (const char* part : {"call_with_throw_site", "retinue::detail", "at main", "restore_rt", "testing::"}) {
    EXPECT_FALSE(contains(e.stack, part)) << part << '\n' << e.stack;
  }
}

TEST(CrashHandlers, a_call_through_null_shows_its_caller) {
  const Ending e = crash([](void*) { crash_sites::outer(crash_sites::calls_null); });
  EXPECT_DIED_OF(e, SIGSEGV);
  EXPECT_TRUE(contains(line(e.stack, 0), "crash_sites::calls_null()")) << e.stack;
  EXPECT_TRUE(contains(line(e.stack, 1), "crash_sites::outer(")) << e.stack;
}

TEST(CrashHandlers, a_call_through_a_garbage_pointer_shows_its_caller) {
  const Ending e = crash([](void*) { crash_sites::outer(crash_sites::calls_garbage); });
  EXPECT_DIED_OF(e, SIGSEGV);
  EXPECT_TRUE(contains(line(e.stack, 0), "crash_sites::calls_garbage()")) << e.stack;
}

TEST(CrashHandlers, a_stack_overflow_shows_the_recursion) {
  const Ending e = crash([](void*) {
    volatile char start[1] = {0};
    sink = crash_sites::recurses_for_ever(start);
  });
  EXPECT_DIED_OF(e, SIGSEGV);
  EXPECT_TRUE(contains(line(e.stack, 0), "crash_sites::recurses_for_ever")) << e.stack;
  EXPECT_TRUE(contains(line(e.stack, 20), "crash_sites::recurses_for_ever")) << e.stack;
  EXPECT_TRUE(contains(e.overflow, "stack overflowed")) << e.overflow;
}

TEST(CrashHandlers, what_is_no_stack_overflow_is_called_none) {
  for (void (*site)() : {crash_sites::writes_to_null, crash_sites::calls_garbage, crash_sites::aborts}) {
    static void (*crashes)();
    crashes = site;
    EXPECT_EQ(crash([](void*) { crash_sites::outer(crashes); }).overflow, "");
  }
  EXPECT_EQ(crash([](void*) { crash_sites::raises(SIGSEGV); }).overflow, "");
}

// Notes are what a language's runtime says of a crash.
struct Noted {
  Shared shared;
  detail::CrashNote note;
};

detail::CrashNote noted_by(detail::WriteCrashNote write) {
  void* const at = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto& noted = *new (at) Noted;
  const pid_t child = ::fork();
  if (child == 0) {
    detail::warm_up_stack_capture();  // as a worker does
    detail::install_crash_handlers(&noted.shared.record, &noted.shared.signal, &noted.note, write);
    crash_sites::writes_to_null();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(noted.shared.signal.load(), SIGSEGV);
  EXPECT_GT(noted.shared.record.count, 0u);  // before the note
  const detail::CrashNote note = noted.note;
  ::munmap(at, 4096);
  return note;
}

TEST(CrashHandlers, a_note_is_kept_as_far_as_it_was_written_when_its_writer_crashed_or_hung) {
  EXPECT_EQ(detail::text_of(noted_by([](char* text, std::uint32_t, std::uint32_t& size) noexcept {
              std::memcpy(text, "whole\n", 6);
              size = 6;
            })),
            "whole\n");
  EXPECT_EQ(detail::text_of(noted_by([](char* text, std::uint32_t, std::uint32_t& size) noexcept {
              std::memcpy(text, "first\nsec", 9);
              size = 6;
              crash_sites::writes_to_null();
            })),
            "first\n");
  EXPECT_EQ(detail::text_of(noted_by([](char* text, std::uint32_t, std::uint32_t& size) noexcept {
              std::memcpy(text, "first\n", 6);
              size = 6;
              for (;;) ::pause();
            })),
            "first\n");
}

TEST(CrashHandlers, a_note_of_nonsense_is_shown_without_harm) {
  detail::CrashNote note;
  std::memset(note.text, 1, sizeof note.text);
  note.size = ~0u;
  EXPECT_EQ(detail::text_of(note), std::string(sizeof note.text, '?'));
}

TEST(CrashHandlers, division_by_zero_nonsense_and_abort_are_crashes_too) {
  Ending e = crash([](void*) { sink = crash_sites::divides(0); });
#if defined(__x86_64__)
  EXPECT_DIED_OF(e, SIGFPE);
  EXPECT_TRUE(contains(line(e.stack, 0), "crash_sites::divides(int)")) << e.stack;
#endif
  e = crash([](void*) { crash_sites::executes_nonsense(); });
  EXPECT_TRUE(WIFSIGNALED(e.status));
  EXPECT_TRUE(contains(line(e.stack, 0), "crash_sites::executes_nonsense()")) << e.stack;
  e = crash([](void*) { crash_sites::aborts(); });
  EXPECT_DIED_OF(e, SIGABRT);
  EXPECT_TRUE(contains(e.stack, "crash_sites::aborts()")) << e.stack;
}

TEST(CrashHandlers, a_raised_signal_shows_who_raised_it) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    static int raised;
    raised = signal;
    const Ending e = crash([](void*) { crash_sites::raises(raised); });
    EXPECT_DIED_OF(e, signal);
    EXPECT_TRUE(contains(e.stack, "crash_sites::raises(int)")) << e.stack;
  }
}

#if !defined(__clang__)  // clang's noexcept catches first and terminates then: the throw is no longer on the stack
TEST(CrashHandlers, an_uncaught_exception_of_a_noexcept_function_shows_its_thrower) {
  const Ending e = crash([](void*) {
    const auto no_way_out = []() noexcept { throw_sites::deep_thrower(); };
    no_way_out();
  });
  EXPECT_DIED_OF(e, SIGABRT);
  EXPECT_TRUE(contains(e.stack, "throw_sites::deep_thrower()")) << e.stack;
}
#endif

TEST(CrashHandlers, another_thread_that_crashes_is_shown) {
  const Ending e = crash([](void*) { std::thread([] { crash_sites::writes_to_null(); }).join(); });
  EXPECT_DIED_OF(e, SIGSEGV);
  EXPECT_TRUE(contains(line(e.stack, 0), "crash_sites::writes_to_null()")) << e.stack;
}

TEST(CrashHandlers, a_thread_with_handlers_of_its_own_overflows_its_stack_and_ends_well) {
  const Ending e = crash([](void*) {
    static Shared own;
    std::thread([] { detail::install_crash_handlers(&own.record, &own.signal); }).join();  // frees its stack
    std::thread([] {
      detail::install_crash_handlers(&own.record, &own.signal);
      if (own.signal.load() == 0) sink = sink + 1;
    }).join();
    ::_exit(own.record.count == 0 ? 9 : 8);
  });
  EXPECT_TRUE(WIFEXITED(e.status));
  EXPECT_EQ(WEXITSTATUS(e.status), 9);
}

TEST(CrashHandlers, a_smashed_stack_still_ends_the_process_with_the_signal_on_record) {
  const Ending e = crash([](void*) { crash_sites::smashes_its_stack(); });
  EXPECT_TRUE(WIFSIGNALED(e.status));
  EXPECT_EQ(e.signal_seen, SIGSEGV);
  EXPECT_LT(e.took, 5s);
}

TEST(CrashHandlers, a_walk_that_hangs_ends_the_process_in_about_a_second) {
  const Ending e = crash([](void*) {
    unwinder_hangs = true;
    crash_sites::writes_to_null();
  });
  EXPECT_TRUE(WIFSIGNALED(e.status));
  EXPECT_EQ(e.signal_seen, SIGSEGV);
  EXPECT_GE(e.took, 500ms);
  EXPECT_LT(e.took, 5s);
}

TEST(CrashHandlers, a_process_that_the_task_forked_leaves_the_record_of_its_parent_alone) {
  const Ending e = crash([](void*) {
    const pid_t child = ::fork();
    if (child == 0) crash_sites::writes_to_null();
    int status = 0;
    ::waitpid(child, &status, 0);
    ::_exit(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV ? 3 : 4);
  });
  ASSERT_TRUE(WIFEXITED(e.status));
  EXPECT_EQ(WEXITSTATUS(e.status), 3);
  EXPECT_EQ(e.signal_seen, 0);
  EXPECT_EQ(e.stack, "");
}

TEST(ThrowSite, names_the_function_that_threw) {
  detail::clear_throw_site();
  EXPECT_THROW(detail::call_with_throw_site([](void*) { throw_sites::with_destructors(); }, nullptr),
               throw_sites::Fancy);
  const std::string stack = detail::describe_stack(detail::throw_site(), ::getpid());
  EXPECT_TRUE(line(stack, 0).starts_with("  at throw_sites::deep_thrower() (")) << stack;
  EXPECT_TRUE(contains(line(stack, 1), "throw_sites::with_destructors()")) << stack;
  EXPECT_FALSE(contains(stack, "testing::")) << stack;
}

TEST(ThrowSite, works_for_what_is_no_std_exception) {
  detail::clear_throw_site();
  EXPECT_THROW(detail::call_with_throw_site([](void*) { throw_sites::throws_an_int(); }, nullptr), int);
  EXPECT_TRUE(contains(detail::describe_stack(detail::throw_site(), 0), "throw_sites::throws_an_int()"));
}

TEST(ThrowSite, what_is_caught_inside_leaves_no_trace) {
  detail::clear_throw_site();
  detail::call_with_throw_site([](void*) { throw_sites::catches_its_own(); }, nullptr);
  EXPECT_EQ(detail::throw_site().count, 0U);
  EXPECT_EQ(detail::describe_stack(detail::throw_site(), 0), "");
}

TEST(ThrowSite, the_argument_arrives_and_the_call_returns) {
  int n = 1;
  detail::call_with_throw_site([](void* p) { *static_cast<int*>(p) += 1; }, &n);
  EXPECT_EQ(n, 2);
}

TEST(ThrowSite, nested_calls_keep_the_exception_that_left) {
  detail::clear_throw_site();
  const auto body = [](void*) {
    EXPECT_THROW(detail::call_with_throw_site([](void*) { throw_sites::throws_an_int(); }, nullptr), int);
    throw_sites::deep_thrower();
  };
  EXPECT_THROW(detail::call_with_throw_site(body, nullptr), throw_sites::Fancy);
  const std::string stack = detail::describe_stack(detail::throw_site(), 0);
  EXPECT_TRUE(contains(line(stack, 0), "throw_sites::deep_thrower()")) << stack;
}

TEST(ThrowSite, belongs_to_its_thread) {
  detail::clear_throw_site();
  std::thread([] {
    EXPECT_THROW(detail::call_with_throw_site([](void*) { throw 1; }, nullptr), int);
    EXPECT_GT(detail::throw_site().count, 0U);
  }).join();
  EXPECT_EQ(detail::throw_site().count, 0U);
}

TEST(DescribeStack, survives_whatever_a_worker_scribbled) {
  StackRecord record;
  std::memset(static_cast<void*>(&record), 0xff, sizeof record);
  EXPECT_TRUE(contains(detail::describe_stack(record, 1), "0xffffffffffffffff"));
  for (std::uint32_t i = 0; i < detail::kStackFrames; ++i) record.frames[i] = 0x1111111111111111u * i;
  record.count = 0x80000001;
  EXPECT_NE(detail::describe_stack(record, -1), "");
  record.count = 0;
  EXPECT_EQ(detail::describe_stack(record, 0), "");
}

TEST(DescribeStack, names_functions_of_a_library_without_debug_information) {
  StackRecord record;
  record.count = 1;
  record.frames[0] = reinterpret_cast<std::uintptr_t>(&::strtol) + 1;
  const std::string text = detail::describe_stack(record, 0);
  EXPECT_TRUE(contains(text, "strto")) << text;
}

TEST(DescribeStack, works_in_a_child_forked_while_other_threads_describe) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's allocator does not survive a fork beside threads that allocate";
#endif
  StackRecord record;
  detail::capture_stack(record);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) detail::describe_stack(record, 0);
  });
  for (int i = 0; i < 5; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      ::_exit(detail::describe_stack(record, 0).empty() ? 1 : 0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  stop = true;
  busy.join();
}

}  // namespace
