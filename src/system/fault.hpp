// Where tests make system calls fail.
#pragma once

#include <cstdint>

namespace retinue::detail {

/// If set, it is asked before each system call of the engine (calls.hpp), and an errno other than 0 is that call's
/// failure: the call is not made. `call` is the call's name, a literal. The injector may be asked by any thread of any
/// process of the pool, also in a signal handler, so it must be async-signal-safe and keep what it counts in atomics; to
/// count over several processes, in memory that they share. Children inherit it by fork, not over exec.
///
/// Set it only while one thread runs. It is there in every build, so that what is tested is what is shipped: unset, it
/// costs one relaxed load beside a system call, and no task that finds its worker awake makes one.
///
/// Every call can be made to fail, but for these:
///
/// | left out                                        | because                                                        |
/// | ----------------------------------------------- | -------------------------------------------------------------- |
/// | clock_gettime, getpid, getppid, gettid, sysconf, | they cannot fail as they are called here                       |
/// | getrlimit, getresuid, capget, alarm, sched_yield |                                                                |
/// | nanosleep, pause                                | they can only return early, and stand in loops                 |
/// | close, munmap                                   | on Linux the descriptor is gone even then; a whole mapping of  |
/// |                                                 | ours is unmapped without splitting any                         |
/// | futex wake                                      | it fails only for memory that is not there                     |
/// | pthread_join, pthread_detach, pthread_atfork,   | they fail for wrong arguments only, or (atfork) while the      |
/// | pthread_setname_np                              | library is loaded; a name is ornament                          |
/// | mutexes, malloc, dlopen, dladdr, realpath, stdio| the C library's own calls, not the engine's                    |
/// | what libdw reads                                | its own; without symbols a stack has bare addresses            |
using FaultInjector = int (*)(const char* call) noexcept;
void set_fault_injector(FaultInjector injector) noexcept;

/// The errno that `call` shall fail with, or 0.
int injected_fault(const char* call) noexcept;

/// What this process is to the pool it was forked for; for injectors that choose. A worker that makes a pool of its own
/// is a worker still.
enum class ProcessRole : std::uint8_t { owner, fork_server, worker };
ProcessRole process_role() noexcept;
void set_process_role(ProcessRole role) noexcept;

}  // namespace retinue::detail
