// A process that is driven an instruction at a time.
#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <elf.h>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <system_error>

#include "support/process_watch.hpp"

namespace retinue_test {

/// What a task does where the steps shall begin or end. To a process that is not traced it does nothing.
constexpr int kMarker = SIGURG;
inline void mark_place() { ::kill(::getpid(), kMarker); }

/// An instruction on a walk of a process. In the program's own code it is known by its address and by how often the
/// walk has come there; outside, by the last one in own code and the steps since.
struct Place {
  std::uint64_t pc = 0;
  unsigned visit = 0;
  unsigned beyond = 0;
  auto operator<=>(const Place&) const = default;
};

/// A traced process, which is stopped between the calls of this object. Only the thread that made it may use it.
/// A process that is neither killed nor released is killed by the destructor. Everything has a deadline; what is not
/// done by then throws std::runtime_error.
class TracedProcess {
 public:
  enum class Stop {
    arrived,  ///< at the next instruction, or at the one asked for
    at_marker,
    asleep,  ///< in a system call that does not return; the process is not stopped
    ended,
  };

  struct Ended : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

  /// Why processes cannot be stepped through on this machine; empty if they can.
  static std::string trouble() {
#if defined(__x86_64__)
    return "";
#elif defined(__aarch64__)
    constexpr unsigned long kAtomics = 1u << 8;  // HWCAP_ATOMICS
    if ((::getauxval(AT_HWCAP) & kAtomics) != 0) return "";
    return "this CPU's atomic operations are loops of exclusive loads and stores, which never end in single steps";
#else
    return "where this CPU has its program counter, and what a breakpoint is, is not known here";
#endif
  }

  /// Attaches to a descendant and stops it. Throws std::system_error where the system refuses, Ended if it is dead.
  explicit TracedProcess(pid_t pid) : pid_(pid) {
    if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) {
      const int error_number = errno;
      if (is_gone(pid)) throw Ended("the worker ended before it was traced");
      throw std::system_error(error_number, std::generic_category(), "ptrace(PTRACE_SEIZE)");
    }
    attached_ = true;
    interrupt();
    if (!attached_) throw Ended("the worker ended before it was stopped");
  }
  TracedProcess(const TracedProcess&) = delete;
  TracedProcess& operator=(const TracedProcess&) = delete;
  ~TracedProcess() {
    if (!attached_) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, &status_, __WALL) == pid_ && !has_ended()) {
    }
  }

  pid_t pid() const { return pid_; }
  /// True once it was seen to end, killed or not.
  bool is_over() const { return !attached_ && has_ended(); }

  /// Lets it run until a task marks its place. Throws Ended if it is killed on the way.
  void run_to_marker() {
    const Stop stop = go(PTRACE_CONT);
    if (stop == Stop::ended) throw Ended("the worker ended before it came to its marker");
    if (stop != Stop::at_marker) throw std::runtime_error("the worker does not come to its marker");
  }

  /// One instruction; a system call is one.
  Stop step() { return go(PTRACE_SINGLESTEP); }

  /// Lets it run until it has come to `place`, visits counted from here.
  Stop run_to(const Place& place) {
    for (unsigned visits = program_counter() == place.pc ? 1 : 0; visits < place.visit; ++visits)
      if (const Stop stop = run_to_address(place.pc); stop != Stop::arrived) return stop;
    for (unsigned steps = 0; steps < place.beyond; ++steps)
      if (const Stop stop = step(); stop != Stop::arrived) return stop;
    return Stop::arrived;
  }

  std::uint64_t program_counter() const { return counter_of(registers()); }

  /// Kills it where it stands.
  void kill() {
    if (!attached_) return;
    require(::kill(pid_, SIGKILL), "kill");
    await_end();
  }

  /// Waits for its end, whoever brings it about. Only then its parent is notified.
  void await_end() {
    const auto deadline = Clock::now() + kLongestStep;
    while (attached_) {
      if (::waitpid(pid_, &status_, __WALL | WNOHANG) == pid_) attached_ = !has_ended();
      else if (Clock::now() > deadline) throw std::runtime_error("a worker that was killed does not end");
      else nap(20us);
    }
  }

  /// Lets it go on by itself.
  void detach() {
    if (!attached_) return;
    if (running_) interrupt();  // only a stopped one can be left
    if (!attached_) return;
    if (::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr) == 0) attached_ = false;
    else await_end();  // somebody has killed it
  }

 private:
  /// Two processes must get a CPU for each step, which takes seconds where many others want it.
  static constexpr auto kLongestStep = 3 * kSoon;

  enum class Seen { trap, marker, interrupt, end, nothing };

  // Stops it where it is, or sees that it has stopped or ended by itself.
  Seen interrupt() {
    require(::ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr), "PTRACE_INTERRUPT");
    running_ = false;
    for (;;)
      if (const Seen seen = wait(); seen != Seen::nothing) return seen;
  }

  static void require(long rc, const char* what) {
    if (rc < 0) throw std::runtime_error(std::string(what) + ": " + std::generic_category().message(errno));
  }
  bool has_ended() const { return WIFEXITED(status_) || WIFSIGNALED(status_); }

  Stop go(decltype(PTRACE_CONT) how) {
    for (;;) {
      const auto signal = reinterpret_cast<void*>(static_cast<std::intptr_t>(deliver_));
      deliver_ = 0;
      if (::ptrace(how, pid_, nullptr, signal) != 0 && errno != ESRCH) require(-1, "ptrace");  // ESRCH: killed
      switch (wait()) {
        case Seen::trap: return Stop::arrived;
        case Seen::marker: return Stop::at_marker;
        case Seen::end: return Stop::ended;
        case Seen::nothing: running_ = true; return Stop::asleep;
        case Seen::interrupt: break;
      }
    }
  }

  Seen wait() {
    const auto deadline = Clock::now() + kLongestStep;
    for (unsigned looks = 1, asleep = 0; ::waitpid(pid_, &status_, __WALL | WNOHANG) != pid_; ++looks) {
      if (looks < 100) continue;
      ::sched_yield();
      if (looks % 500 != 0) continue;
      // More than once, for it may have slept only until another process released a lock of the kernel's.
      asleep = process_info(pid_).state == 'S' ? asleep + 1 : 0;
      if (asleep > 2) return Seen::nothing;
      nap(200us);
      if (Clock::now() > deadline) throw std::runtime_error("a traced worker does not stop");
    }
    if (has_ended()) {
      attached_ = false;
      return Seen::end;
    }
    if (status_ >> 16 != 0) return Seen::interrupt;
    const int signal = WSTOPSIG(status_);
    if (signal == SIGTRAP) return Seen::trap;
    if (signal == kMarker) return Seen::marker;
    deliver_ = signal;
    return Seen::interrupt;
  }

  user_regs_struct registers() const {
    user_regs_struct r{};
    iovec where{&r, sizeof r};
    require(::ptrace(PTRACE_GETREGSET, pid_, std::uintptr_t{NT_PRSTATUS}, &where), "PTRACE_GETREGSET");
    return r;
  }
#if defined(__aarch64__)
  static constexpr std::uint64_t kBreakpoint = 0xd4200000, kBreakpointMask = 0xffffffff;  // brk #0
  static constexpr std::uint64_t kBeyondBreakpoint = 0;
  static std::uint64_t counter_of(const user_regs_struct& r) { return r.pc; }
  static void set_counter(user_regs_struct& r, std::uint64_t pc) { r.pc = pc; }
#else
  static constexpr std::uint64_t kBreakpoint = 0xcc, kBreakpointMask = 0xff;  // int3
  static constexpr std::uint64_t kBeyondBreakpoint = 1;
#if defined(__x86_64__)
  static std::uint64_t counter_of(const user_regs_struct& r) { return r.rip; }
  static void set_counter(user_regs_struct& r, std::uint64_t pc) { r.rip = pc; }
#else
  static std::uint64_t counter_of(const user_regs_struct&) { return 0; }
  static void set_counter(user_regs_struct&, std::uint64_t) {}
#endif
#endif

  // The code is this process's own copy: a page of a private mapping is copied when it is written to.
  Stop run_to_address(std::uint64_t pc) {
    if (program_counter() == pc) {
      if (const Stop stop = step(); stop != Stop::arrived || program_counter() == pc) return stop;
    }
    errno = 0;
    const long before = ::ptrace(PTRACE_PEEKTEXT, pid_, pc, nullptr);
    if (errno != 0) require(-1, "PTRACE_PEEKTEXT");
    const auto word = static_cast<std::uint64_t>(before);
    require(::ptrace(PTRACE_POKETEXT, pid_, pc, (word & ~kBreakpointMask) | kBreakpoint), "PTRACE_POKETEXT");
    Stop stop = go(PTRACE_CONT);
    if (stop == Stop::asleep) {
      const Seen seen = interrupt();
      if (seen == Seen::trap) stop = Stop::arrived;
      if (seen == Seen::marker) stop = Stop::at_marker;
    }
    if (!attached_) return Stop::ended;
    require(::ptrace(PTRACE_POKETEXT, pid_, pc, word), "PTRACE_POKETEXT");
    if (stop != Stop::arrived) return stop;
    user_regs_struct r = registers();
    if (counter_of(r) != pc + kBeyondBreakpoint)
      throw std::runtime_error("a worker stopped where there is no breakpoint");
    set_counter(r, pc);
    iovec where{&r, sizeof r};
    require(::ptrace(PTRACE_SETREGSET, pid_, std::uintptr_t{NT_PRSTATUS}, &where), "PTRACE_SETREGSET");
    return stop;
  }

  const pid_t pid_;
  int status_ = 0x7f;  // as waitpid says of one that has stopped
  int deliver_ = 0;    // a signal of its own, seen and not yet delivered
  bool attached_ = false;
  bool running_ = false;  // since it is asleep
};

}  // namespace retinue_test
