// What a language's runtime must do where processes of a pool are forked, begin, sleep and end.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace retinue::detail {

/// Calls that a language's runtime needs around the processes of a pool; null ones are not made. They must not
/// throw. Constant; outlives every pool made with it.
struct ProcessHooks {
  void (*before_fork)() noexcept = nullptr;           ///< in the owner, by the thread that forks the fork server ...
  void (*after_fork_in_parent)() noexcept = nullptr;  ///< ... and after it, also if it failed
  /// In a worker, before all else. The fork server lies in between and runs nothing of the language's: its state is
  /// still that of the moment of the fork, so a worker is to the owner what a child forked directly would be.
  void (*after_fork_in_worker)() noexcept = nullptr;
  bool (*interrupted)() noexcept = nullptr;       ///< asked while a pool waits for its first workers: true to give up
  void (*before_callbacks)() noexcept = nullptr;  ///< in the owner's service thread, before a run of callbacks ...
  void (*after_callbacks)() noexcept = nullptr;   ///< ... and after it
  /// In a worker, from before its initializer to after its last task: calls `serve(served)`, which returns when the worker is
  /// to leave by its own will. If it returns without having called it, the tasks are run all the same.
  void (*run_worker)(unsigned worker, void (*serve)(void* served) noexcept, void* served) noexcept = nullptr;
  void (*before_sleep)() noexcept = nullptr;  ///< in a worker that finds no work ...
  void (*after_sleep)() noexcept = nullptr;   ///< ... and when it may have found some
  /// In a worker that crashes, in its signal handler: what the runtime knows of what ran, as lines that end in a newline.
  /// `text` has so much room; `size` grows when bytes are written. It may read what it likes and call what is safe in a
  /// signal handler; if it crashes, or takes a second, the process ends as it was about to.
  void (*write_crash_note)(char* text, std::uint32_t room, std::uint32_t& size) noexcept = nullptr;
};

/// A program to start as the fork server of a pool, in the place of a fork of the owner: its workers then have nothing of
/// the owner's but what they are sent.
struct FreshProgram {
  std::vector<std::string> arguments;  ///< the first is the program's path; the pool's plan is added as the last
  std::vector<int> descriptors;        ///< that it inherits, besides the pool's own
  int plan_file = -1;                  ///< not negative: the plan is written there, and is no argument
};

/// What that program calls first of all, with the plan: the pool's memory gets the address it must have. Throws
/// Error or ResourceExhausted.
void attach_to_owner(const std::string& plan_text);
/// And at last; `initializer` may be empty. Never returns.
[[noreturn]] void serve_owner(const ProcessHooks& hooks, std::function<void()> initializer);

/// Within `run_worker`, once `serve` has returned: the worker leaves as it does when that returns. In any other process it
/// ends that process.
[[noreturn]] void leave_worker() noexcept;

}  // namespace retinue::detail
