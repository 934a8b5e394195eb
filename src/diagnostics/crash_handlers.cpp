// The last act of a worker that crashed: leave its stack for the owner, then die of what killed it.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "system/calls.hpp"
#include "system/fd.hpp"
#include "stack_walk.hpp"

namespace retinue::detail {
namespace {

constexpr int kCrashSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr unsigned kSecondsToWalk = 1;
// The kernel's signal frame takes up to some 12 kB on machines with large vector registers, the unwinder a
// few more, sanitizers many. Only what is touched costs memory.
constexpr std::size_t kAlternateStackSize = 256 * 1024;

// Written by install_crash_handlers in the same process; read in the handler.
std::atomic<StackRecord*> record{nullptr};
std::atomic<std::atomic<int>*> seen{nullptr};
std::atomic<CrashNote*> noted{nullptr};
std::atomic<WriteCrashNote> write_note{nullptr};
std::atomic<std::uintptr_t> outer_frame{0};  // of the thread that has installed the handlers: above it is what called
std::atomic<pid_t> installed_in{0};          // a process that the task forks inherits the handlers, not the record
std::atomic<bool> crashing{false};

// The alternate stack of one thread, with a page below it that stops its own overflow. Unmapped when the
// thread ends, unless somebody (a sanitizer's runtime) has put another in its place.
class AlternateStack {
 public:
  AlternateStack() {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    size_ = kAlternateStackSize + page;
    base_ = sys::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (base_ == MAP_FAILED) throw_call_failed("mmap", errno, std::to_string(size_) + " bytes for a signal stack");
    stack_ = static_cast<char*>(base_) + page;
    try {
      if (sys::mprotect(base_, page, PROT_NONE) != 0)
        throw_call_failed("mprotect", errno, "the page below a signal stack");
      use();
    } catch (...) {
      ::munmap(base_, size_);
      throw;
    }
  }
  AlternateStack(const AlternateStack&) = delete;
  AlternateStack& operator=(const AlternateStack&) = delete;
  ~AlternateStack() {
    stack_t current{};
    if (sys::sigaltstack(nullptr, &current) != 0 || current.ss_sp != stack_) return;
    stack_t none{};
    none.ss_flags = SS_DISABLE;
    if (sys::sigaltstack(&none, nullptr) == 0) ::munmap(base_, size_);
  }

  void use() {
    stack_t mine{};
    mine.ss_sp = stack_;
    mine.ss_size = kAlternateStackSize;
    if (sys::sigaltstack(&mine, nullptr) != 0) {
      throw_call_failed("sigaltstack", errno, std::to_string(mine.ss_size) + " bytes");
    }
  }

 private:
  void* base_ = nullptr;
  void* stack_ = nullptr;
  std::size_t size_ = 0;
};

// The interrupted instruction's address. After a call through a bad pointer there is no instruction and no
// caller's frame to be found from it; the context is then set back to the call, which the unwinder reads.
std::uintptr_t interrupted_address(int signal, const siginfo_t& info, ucontext_t& context) noexcept {
#if defined(__x86_64__)
  auto& pc = context.uc_mcontext.gregs[REG_RIP];
  auto& sp = context.uc_mcontext.gregs[REG_RSP];
  const auto address = static_cast<std::uintptr_t>(pc);
  const bool nothing_there = (signal == SIGSEGV || signal == SIGBUS) && info.si_code > 0 &&
                             reinterpret_cast<std::uintptr_t>(info.si_addr) == address;
  if (nothing_there) {
    pc = *reinterpret_cast<const greg_t*>(sp) - 1;
    sp += 8;
  }
  return static_cast<std::uintptr_t>(pc);
#elif defined(__aarch64__)
  auto& pc = context.uc_mcontext.pc;
  const bool nothing_there = (signal == SIGSEGV || signal == SIGBUS) && info.si_code > 0 &&
                             reinterpret_cast<std::uintptr_t>(info.si_addr) == pc;
  if (nothing_there) pc = context.uc_mcontext.regs[30] - 1;
  return pc;
#else
  (void)signal, (void)info, (void)context;
  return 0;
#endif
}

std::uintptr_t stack_pointer(const ucontext_t& context) noexcept {
#if defined(__x86_64__)
  return static_cast<std::uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
#elif defined(__aarch64__)
  return context.uc_mcontext.sp;
#else
  (void)context;
  return 0;
#endif
}

// What lies between the stack pointer and the frame of a caller is stack, so that a fault there, or right below, is one of a
// stack that cannot grow further. Frames of more than a megabyte are not looked for: a thread may run on a stack of its
// own making, far from that caller.
bool is_overflow(int signal, const siginfo_t& info, const ucontext_t& context) noexcept {
  constexpr std::uintptr_t kBelow = 4096, kLargestFrame = std::uintptr_t{1} << 20;
  if ((signal != SIGSEGV && signal != SIGBUS) || info.si_code <= 0) return false;
  const std::uintptr_t stack = stack_pointer(context), fault = reinterpret_cast<std::uintptr_t>(info.si_addr);
  return stack != 0 && fault + kBelow >= stack && fault < stack + kLargestFrame && fault < outer_frame.load();
}

void set_default(int signal) noexcept {
  struct sigaction action{};
  action.sa_handler = SIG_DFL;
  sys::sigaction(signal, &action, nullptr);
}

void unblock(int signal) noexcept {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  sys::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// Runs with all signals blocked, on the alternate stack. First the things that cannot fail, then the walk.
extern "C" void retinue_detail_on_crash(int signal, siginfo_t* info, void* context) {
  if (crashing.exchange(true)) {
    // Another thread crashed first and is about to end the process, a second from now at the latest.
    for (;;) ::pause();
  }
  const bool ours = installed_in.load() == ::getpid();
  if (std::atomic<int>* const where = seen.load(); ours && where != nullptr) where->store(signal);
  // From here on a crash, or a hang, simply kills: no handler of ours or of the task's runs again.
  for (const int each : kCrashSignals) set_default(each);
  set_default(SIGALRM);
  ::alarm(kSecondsToWalk);
  unblock(SIGALRM);

  if (StackRecord* const into = record.load(); ours && into != nullptr && info != nullptr && context != nullptr) {
    into->overflowed = is_overflow(signal, *info, *static_cast<ucontext_t*>(context)) ? kOverflowed : 0;
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    const auto kept = machine;  // for whoever reads the core dump
    walk_stack(*into, interrupted_address(signal, *info, *static_cast<ucontext_t*>(context)));
    machine = kept;
  }
  CrashNote* const note = noted.load();
  if (const WriteCrashNote write = write_note.load(); ours && note != nullptr && write != nullptr)
    write(note->text, sizeof note->text, note->size);
  unblock(signal);
  sys::tgkill(::getpid(), static_cast<pid_t>(::syscall(SYS_gettid)), signal);
  ::_exit(128 + signal);  // not reached
}

}  // namespace

void install_crash_handlers(StackRecord* where, std::atomic<int>* signal_seen, CrashNote* note, WriteCrashNote write) {
  record.store(where);
  seen.store(signal_seen);
  noted.store(note);
  write_note.store(write);
  outer_frame.store(reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
  installed_in.store(::getpid());
  thread_local AlternateStack alternate;
  alternate.use();  // a sanitizer or the task may have put its own in place since

  struct sigaction action{};
  action.sa_sigaction = retinue_detail_on_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigfillset(&action.sa_mask);
  for (const int signal : kCrashSignals) {
    if (sys::sigaction(signal, &action, nullptr) != 0) {
      throw_call_failed("sigaction", errno, "signal " + std::to_string(signal));
    }
  }
}

}  // namespace retinue::detail
