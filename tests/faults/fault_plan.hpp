// Which system call fails, in which process, with what; and what was seen of it. Lies in memory that all processes of a
// scenario share.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <ostream>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "system/fault.hpp"
#include "system/fork_watch.hpp"

namespace retinue_test {

using retinue::detail::ProcessRole;

constexpr unsigned kMaxErrnos = 5;

/// A system call, and what it can answer when a machine gives out, a signal comes or a sandbox says no.
struct FallibleCall {
  const char* name;
  int errnos[kMaxErrnos];  ///< ended by 0
  int lasting;             ///< what it may answer from now on, every time; 0: nothing. No call is interrupted for ever
};

inline constexpr FallibleCall kCalls[] = {
    {"open", {EMFILE, ENFILE, ENOMEM}, EMFILE},
    {"read", {EINTR, EAGAIN}, 0},
    {"pread", {EINTR, ENOMEM}, ENOMEM},
    {"pwrite", {ENOSPC, ENOMEM, EINTR}, ENOSPC},
    {"fcntl", {EPERM, ENOMEM}, EPERM},
    {"fchmod", {EPERM, ENOMEM}, EPERM},
    {"fstat", {ENOMEM}, ENOMEM},
    {"stat", {ENOMEM, EACCES}, EACCES},
    {"ftruncate", {ENOSPC, EPERM}, ENOSPC},
    {"fallocate", {ENOSPC, ENOMEM, EINTR}, ENOSPC},
    {"punch_hole", {ENOMEM, EINTR}, ENOMEM},
    {"memfd_create", {EMFILE, ENFILE, ENOMEM, EINVAL, ENOSYS}, ENOSYS},
    {"dup3", {EBUSY, EMFILE}, EMFILE},
    {"getdents64", {ENOENT, ENOMEM}, ENOMEM},
    {"mmap", {ENOMEM, ENFILE, EAGAIN}, ENOMEM},
    {"mprotect", {ENOMEM}, ENOMEM},
    {"madvise", {ENOMEM, EAGAIN, EINVAL}, ENOMEM},
    {"futex_wait", {EINTR, EAGAIN}, EINTR},
    {"set_robust_list", {ENOSYS, EPERM}, ENOSYS},
    {"fork", {EAGAIN, ENOMEM}, EAGAIN},
    {"execv", {ENOMEM, EMFILE}, ENOMEM},
    {"kill", {EPERM}, 0},
    {"tgkill", {EPERM}, EPERM},
    {"waitpid", {EINTR}, 0},
    {"waitid", {EINTR}, 0},
    {"prctl", {EPERM}, EPERM},
    {"setrlimit", {EPERM}, EPERM},
    {"setgroups", {EPERM, ENOMEM}, EPERM},
    {"setresgid", {EPERM, ENOMEM}, EPERM},
    {"setresuid", {EPERM, EAGAIN, ENOMEM}, EPERM},
    {"seccomp", {ENOSYS, ENOMEM, EACCES}, ENOSYS},
    {"sched_getaffinity", {EPERM, ENOMEM}, EPERM},
    {"sigaction", {EPERM}, EPERM},
    {"sigaltstack", {ENOMEM, EPERM}, ENOMEM},
    {"pthread_sigmask", {EPERM}, EPERM},
    {"pthread_create", {EAGAIN, ENOMEM, EPERM}, EAGAIN},
};
constexpr unsigned kCallCount = sizeof kCalls / sizeof *kCalls;
constexpr unsigned kRoles = 3;
constexpr const char* kRoleNames[kRoles] = {"owner", "fork-server", "worker"};

inline int index_of(const char* call) noexcept {
  for (unsigned i = 0; i < kCallCount; ++i)
    if (std::strcmp(kCalls[i].name, call) == 0) return static_cast<int>(i);
  return -1;
}

/// How often a fault strikes.
enum class Lasting : std::uint8_t {
  once,          ///< the n-th call of all processes of the role
  from_then_on,  ///< that one and all later ones
  once_in_each,  ///< the n-th call of each process of the role
};
constexpr const char* kLastingNames[] = {"once", "from-then-on", "once-in-each"};

struct Fault {
  unsigned role = 0;
  unsigned call = 0;
  unsigned nth = 0;  ///< from 1; 0: none fails, calls are only counted
  int error_number = 0;
  Lasting lasting = Lasting::once;
};

inline std::string errno_name(int error_number) {
  const char* const name = ::strerrorname_np(error_number);
  return name != nullptr ? name : std::to_string(error_number);
}

inline std::ostream& operator<<(std::ostream& out, const Fault& f) {
  return out << kRoleNames[f.role] << ' ' << kCalls[f.call].name << ' ' << f.nth << ' ' << errno_name(f.error_number)
             << ' ' << kLastingNames[static_cast<int>(f.lasting)];
}

/// One scenario's plan. Made before its processes; cleared between scenarios.
struct FaultPlan {
  Fault fault;
  std::atomic<bool> armed{false};
  std::atomic<bool> counting{true};
  std::atomic<unsigned> hits{0};
  std::atomic<unsigned> counts[kRoles][kCallCount] = {};
  char unknown_call[32] = {};
  std::atomic<const char*> step{"before the first step"};  // literals: the processes are forks of one program
  char outcome[512] = {};
  std::uint64_t reserved = 0;  ///< bytes of shared memory that the run has left for the next pool ...
  std::uint64_t most_reserved = ~std::uint64_t{0};  ///< ... and may leave
};

constexpr const char* kPlanInEnvironment = "RETINUE_TEST_PLAN";

/// The plan's file, or that of the program which has started this one.
inline int plan_file() {
  static const int file = [] {
    if (const char* inherited = std::getenv(kPlanInEnvironment)) return std::atoi(inherited);
    const int fresh = ::memfd_create("fault plan", MFD_CLOEXEC);
    if (fresh < 0 || ::ftruncate(fresh, sizeof(FaultPlan)) != 0) std::abort();
    return fresh;
  }();
  return file;
}

inline FaultPlan& plan() {
  static FaultPlan* const shared = [] {
    void* p = ::mmap(nullptr, sizeof(FaultPlan), PROT_READ | PROT_WRITE, MAP_SHARED, plan_file(), 0);
    if (p == MAP_FAILED) std::abort();
    return std::getenv(kPlanInEnvironment) != nullptr ? static_cast<FaultPlan*>(p) : ::new (p) FaultPlan;
  }();
  return *shared;
}

inline int inject_as_planned(const char* name) noexcept {
  FaultPlan& p = plan();
  const int call = index_of(name);
  if (call < 0) {
    std::snprintf(p.unknown_call, sizeof p.unknown_call, "%s", name);
    return 0;
  }
  const auto role = static_cast<unsigned>(retinue::detail::process_role());
  if (!p.counting.load()) return 0;
  unsigned count = p.counts[role][call].fetch_add(1) + 1;
  if (!p.armed.load() || role != p.fault.role || static_cast<unsigned>(call) != p.fault.call) return 0;
  if (p.fault.lasting == Lasting::once_in_each) {
    static std::atomic<unsigned> in_this_process{0};  // of the one call that is to fail
    static std::atomic<std::uint64_t> generation{0};
    if (generation.exchange(retinue::detail::fork_generation()) != retinue::detail::fork_generation())
      in_this_process = 0;
    count = ++in_this_process;
  }
  const bool strikes = p.fault.lasting == Lasting::from_then_on ? count >= p.fault.nth : count == p.fault.nth;
  if (!strikes) return 0;
  p.hits.fetch_add(1);
  return p.fault.error_number;
}

}  // namespace retinue_test
