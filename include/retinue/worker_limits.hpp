// What the tasks of a pool may not do.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace retinue {

/// Limits of each worker of a ProcessPool. They are set once the initializer has run, so that it may still open files and
/// connections and load what takes much memory; no task can lift them, and what a task starts inherits them.
///
/// They keep mistakes in bounds. They are no sandbox: worker and owner share writable memory (docs/security.md).
/// Where the system refuses one, the pool ends with PoolClosed, which says why.
///
/// Example:
///
///     retinue::ProcessPoolOptions options;
///     options.limits.cpu_time = std::chrono::seconds(10);
///     options.limits.address_space = std::size_t{4} << 30;
///     options.limits.network = false;
///     retinue::ProcessPool pool(options);
struct WorkerLimits {
  /// CPU time of all threads that one task may use, to the second, rounded up. Then its worker dies of SIGXCPU, and the
  /// task ends with WorkerDied. At least a second. Costs three system calls per task, at most a hundred times a second.
  std::optional<std::chrono::seconds> cpu_time = std::nullopt;
  /// Bytes of memory that a worker may map beyond what it has when its initializer has run (RLIMIT_AS). Then `new` throws
  /// std::bad_alloc, which comes back as the task's exception.
  std::optional<std::uint64_t> address_space = std::nullopt;
  /// Descriptors that a worker may have open (RLIMIT_NOFILE), inherited ones among them. Those open already stay.
  std::optional<std::uint64_t> open_files = std::nullopt;
  /// False: no sockets but those of the same machine (AF_UNIX), by a seccomp filter: `socket` fails with EACCES. What
  /// would get round that fails with EPERM: io_uring, ptrace, process_vm_readv and its like, pidfd_getfd.
  /// Sockets that are open already stay.
  bool network = true;
  /// False: no other program may be run (execve fails with EACCES), by a seccomp filter.
  bool programs = true;
  /// A user, by name or number, that workers run as, with that user's groups and no capabilities. Only for an owner that is
  /// root. Empty: the owner's. An owner that is root keeps root's powers in its workers otherwise.
  std::string user = {};

  /// True if nothing is limited. Any limit also keeps workers from gaining privileges (PR_SET_NO_NEW_PRIVS).
  bool none() const noexcept {
    return !cpu_time && !address_space && !open_files && network && programs && user.empty();
  }
};

}  // namespace retinue
