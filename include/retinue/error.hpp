// Every way a task or a pool can fail, as exceptions under retinue::Error.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <csignal>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace retinue {

/// The root of every exception that Retinue itself makes. `what()` says what happened, to which task
/// and in which worker where that is known, and what can be done about it.
///
/// All exceptions here are values: copyable, free of ties to a pool, usable from any thread.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A task threw an exception whose type does not travel: it is neither one of the standard library's
/// nor registered with `retinue::register_exception`. The text of the original is kept.
///
/// Example:
///
///     try { pool.submit(parse, line).get(); }
///     catch (const retinue::RemoteError& e) { std::cerr << e.type_name() << ": " << e.message() << e.stack(); }
class RemoteError : public Error {
 public:
  RemoteError(std::string type_name, std::string message, pid_t worker_pid, std::uint64_t task_index,
              std::string stack);

  /// The demangled type of the exception in the worker, such as "geo::BadCoordinate".
  const std::string& type_name() const noexcept { return data_->type_name; }
  /// What its `what()` said; empty for a type that does not derive from std::exception.
  const std::string& message() const noexcept { return data_->message; }
  pid_t worker_pid() const noexcept { return data_->worker_pid; }
  /// The task's place in its map (from 0), or the number of the submit in its pool.
  std::uint64_t task_index() const noexcept { return data_->task_index; }
  /// The worker's stack where the exception was thrown, one line a frame; may be empty.
  const std::string& stack() const noexcept { return data_->stack; }

 private:
  struct Data {
    std::string type_name, message, stack;
    pid_t worker_pid;
    std::uint64_t task_index;
  };
  std::shared_ptr<const Data> data_;
};

/// The worker that ran this task died: of a signal, or by leaving through `_exit`. Only this task is
/// lost; the worker has been replaced. Give `TaskOptions::retries` to run such a task again.
class WorkerDied : public Error {
 public:
  WorkerDied(int signal, int exit_code, pid_t worker_pid, std::uint64_t task_index, std::string stack);

  /// The signal that ended the worker (SIGSEGV, SIGKILL, ...), or 0 if it exited by itself.
  int signal() const noexcept { return data_->signal; }
  /// The worker's exit code if it exited by itself, else -1.
  int exit_code() const noexcept { return data_->exit_code; }
  pid_t worker_pid() const noexcept { return data_->worker_pid; }
  /// The task's place in its map (from 0), or the number of the submit in its pool.
  std::uint64_t task_index() const noexcept { return data_->task_index; }
  /// The stack of a crash (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT), one line a frame with function
  /// names; empty for SIGKILL and exits, which leave no trace.
  const std::string& stack() const noexcept { return data_->stack; }

 private:
  struct Data {
    int signal, exit_code;
    pid_t worker_pid;
    std::uint64_t task_index;
    std::string stack;
  };
  std::shared_ptr<const Data> data_;
};

/// A task ran longer than its `TaskOptions::timeout`. Its worker was killed and replaced.
class TaskTimeout : public Error {
 public:
  using Error::Error;
};

/// The task was cancelled by `Future::cancel` or by a shutdown that cancels what has not started.
class Cancelled : public Error {
 public:
  using Error::Error;
};

/// The pool no longer takes work: it was shut down, its fork server was killed, its workers cannot be
/// started, or it belongs to another process (it was made before a fork).
class PoolClosed : public Error {
 public:
  using Error::Error;
};

/// The machine or a limit gave out: shared memory, file descriptors, processes. The message carries
/// the call that failed, its errno and the number that was reached.
class ResourceExhausted : public Error {
 public:
  ResourceExhausted(const std::string& what, int error_number);
  /// The errno of the call that failed, or 0 where a limit of Retinue's own was reached.
  int error_number() const noexcept { return error_number_; }

 private:
  int error_number_;
};

/// The record of this task in shared memory was overwritten by a stray write of some task, so that nobody could run it, or
/// nobody could tell what became of it. It may have run, in part or to its end. Give `TaskOptions::retries` to run such a
/// task again.
class MemoryOverwritten : public Error {
 public:
  using Error::Error;
};

/// Bytes that should be a value are not one: a truncated or damaged payload. Seen when a worker has
/// scribbled over its memory, or when a type's own codec reads something other than it wrote.
class CodecError : public Error {
 public:
  using Error::Error;
};

}  // namespace retinue
