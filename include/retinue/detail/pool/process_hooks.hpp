// What a language's runtime must do where processes of a pool are forked, begin, sleep and end.
#pragma once

namespace retinue::detail {

/// Calls that a language's runtime needs around the processes of a pool; null ones are not made. They must not
/// throw. Constant; outlives every pool made with it.
struct ProcessHooks {
  void (*before_fork)() noexcept = nullptr;  ///< in the owner and in the fork server, by the thread that forks ...
  void (*after_fork_in_parent)() noexcept = nullptr;  ///< ... and after it, also if it failed
  void (*after_fork_in_child)() noexcept = nullptr;   ///< in the fork server and in workers, before all else
  void (*server_begins)() noexcept = nullptr;  ///< in the fork server, before its first fork
  void (*worker_begins)(unsigned seat) noexcept = nullptr;  ///< before the initializer
  void (*worker_ends)() noexcept = nullptr;    ///< before a worker leaves by its own will
  void (*before_sleep)() noexcept = nullptr;   ///< in a worker that finds no work ...
  void (*after_sleep)() noexcept = nullptr;    ///< ... and when it may have found some
};

}  // namespace retinue::detail
