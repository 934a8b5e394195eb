// What a caller may ask for a task or a map, given through an executor's `with(...)`.
#pragma once

#include <chrono>
#include <cstddef>

namespace retinue {

/// Options of one `submit` or `map`, given as `executor.with({.timeout = 50ms}).submit(f, x)`.
struct TaskOptions {
  /// How long the task may run, counted from its start in a worker; zero means for ever. A task that
  /// overstays ends with `TaskTimeout`. A `ProcessPool` kills and replaces its worker; a `ThreadPool`
  /// cannot stop a thread, so its task goes on unseen to its end; a `SerialExecutor` ignores it.
  std::chrono::nanoseconds timeout{0};

  /// How often the task is run again after its worker died. Zero (the default) never runs a task
  /// twice, because it may have had effects. An exception or a timeout is an outcome, not a death.
  unsigned retries = 0;

  /// `map` only: the most inputs that may have been read ahead of the result being taken. Zero lets
  /// the engine choose: few for slow tasks, up to the number of slots for tiny ones.
  std::size_t look_ahead = 0;
};

}  // namespace retinue
