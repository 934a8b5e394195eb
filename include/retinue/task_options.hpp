// What a caller may ask for a task or a map, given through an executor's `with(...)`.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <chrono>
#include <cstddef>
#include <optional>

namespace retinue {

/// Options of one `submit` or `map`, given as `executor.with({.timeout = 50ms}).submit(f, x)`. What is not given is empty,
/// so that options add up: `pool.with({.retries = 2}).with({.timeout = 50ms})` has both, and of an option that is given
/// twice the later one counts, also where it is what an executor does anyway.
struct TaskOptions {
  /// How long the task may run, counted from when its function is called in a worker; zero means for ever, as if it were
  /// not given. A task that runs longer ends with `TaskTimeout`. A `ProcessPool` kills and replaces its worker; a
  /// `ThreadPool` cannot stop a thread, so its task goes on unseen to its end; a `SerialExecutor` ignores one that lies ahead.
  ///
  /// What a `ProcessPool` must load first (the function's library, the arguments) has a limit of its own: this one, but a
  /// minute at least. The message then says "while loading".
  ///
  /// A negative one is a deadline that has passed: the task ends with `TaskTimeout` without being run.
  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;

  /// How often the task is run again after its worker died. Zero, as if it were not given, never runs a task
  /// twice, because it may have had effects. An exception or a timeout is an outcome, not a death.
  std::optional<unsigned> retries = std::nullopt;

  /// `map` only: the most inputs that may have been read ahead of the result being taken. Zero, as if it were not given,
  /// lets the engine choose: few for slow tasks, up to the number of slots for tiny ones.
  std::optional<std::size_t> look_ahead = std::nullopt;

  /// These, and what `later` gives in the place of theirs.
  constexpr TaskOptions overridden_by(const TaskOptions& later) const noexcept {
    return {later.timeout ? later.timeout : timeout, later.retries ? later.retries : retries,
            later.look_ahead ? later.look_ahead : look_ahead};
  }
};

namespace detail {
/// The same with nothing left open; zero stands for what an executor does anyway.
struct ChosenOptions {
  ChosenOptions() = default;
  ChosenOptions(const TaskOptions& options) noexcept  // NOLINT(google-explicit-constructor): it is one, decided
      : timeout(options.timeout.value_or(std::chrono::nanoseconds::zero())),
        retries(options.retries.value_or(0)),
        look_ahead(options.look_ahead.value_or(0)) {}

  std::chrono::nanoseconds timeout{0};
  unsigned retries = 0;
  std::size_t look_ahead = 0;
};
}  // namespace detail

}  // namespace retinue
