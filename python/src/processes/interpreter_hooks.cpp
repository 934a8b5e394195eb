// A worker holds the GIL while it runs tasks and releases it only to sleep.
#include "processes/interpreter_hooks.hpp"

#include <csignal>
#include <deque>
#include <unistd.h>
#include <utility>

#include "interpreter/helpers.hpp"
#include "interpreter/python.hpp"
#include "processes/crash_note.hpp"
#include "tasks/run_call.hpp"

namespace retinue::python {
namespace {

PyThreadState* sleeping = nullptr;

template <class F>
void quietly(F&& f) noexcept {
  try {
    f();
  } catch (...) {
    PyErr_Clear();
  }
}

void before_sleep() noexcept {
  if (has_run_calls()) quietly([] { helpers::idle_worker(); });
  sleeping = PyEval_SaveThread();
}

void after_sleep() noexcept { PyEval_RestoreThread(std::exchange(sleeping, nullptr)); }

/// The loop of this worker.
struct Loop {
  void (*serve)(void*) noexcept;
  void* served;
};

constexpr const char* kLoop = "retinue._engine.loop";

PyObject* run_loop(PyObject* capsule, PyObject*) noexcept {
  const auto* loop = static_cast<const Loop*>(PyCapsule_GetPointer(capsule, kLoop));
  if (loop == nullptr) return nullptr;
  loop->serve(loop->served);
  // Threads or children that a task has left behind must not keep the worker alive for ever.
  std::signal(SIGALRM, SIG_DFL);
  alarm(5);
  return Py_NewRef(Py_None);
}

PyMethodDef run_loop_function = {"serve", run_loop, METH_NOARGS, nullptr};

void run_worker(unsigned worker, void (*serve)(void*) noexcept, void* served) noexcept {
  Loop loop{serve, served};
  prepare_crash_note();
  quietly([&] {
    forget_loaded_functions();
    // What was inherited is not collected here, so that its pages stay shared with the owner.
    helpers::freeze_garbage();
    const Object number = check(PyLong_FromUnsignedLong(worker));
    const Object capsule = check(PyCapsule_New(&loop, kLoop, nullptr));
    const Object function = check(PyCFunction_New(&run_loop_function, capsule.get()));
    helpers::run_worker(number.get(), function.get());
  });
}

// One handover of the GIL for all callbacks that are due: between two of them a busy main thread would keep it for
// milliseconds.
thread_local std::deque<WithGil> during_callbacks;  // one a run: a callback that waits may nest them
void before_callbacks() noexcept { during_callbacks.emplace_back(); }
void after_callbacks() noexcept { during_callbacks.pop_back(); }

thread_local const bool* start_refused = nullptr;

bool interrupted() noexcept {
  const WithGil with;
  return PyErr_Occurred() != nullptr || PyErr_CheckSignals() != 0 || (start_refused != nullptr && *start_refused);
}

// Modules run functions before and after a fork (logging takes its locks), from where an exception goes nowhere. So a
// Ctrl-C that came before is taken first, and raised after; the next waits, for signals are blocked here.
PyObject *taken_type = nullptr, *taken_value = nullptr, *taken_traceback = nullptr;

void before_fork() noexcept {
  if (PyErr_CheckSignals() != 0) PyErr_Fetch(&taken_type, &taken_value, &taken_traceback);
  PyOS_BeforeFork();
}

void after_fork_in_parent() noexcept {
  PyOS_AfterFork_Parent();
  if (taken_type == nullptr) return;
  PyErr_Restore(std::exchange(taken_type, nullptr), std::exchange(taken_value, nullptr),
                std::exchange(taken_traceback, nullptr));
}

}  // namespace

PyObject* leave_this_worker(PyObject*, PyObject*) noexcept { detail::leave_worker(); }

StartRefusal::StartRefusal(const bool& refused) noexcept : outer_(std::exchange(start_refused, &refused)) {}
StartRefusal::~StartRefusal() { start_refused = outer_; }

const detail::ProcessHooks kOwnerHooks{
    .interrupted = interrupted, .before_callbacks = before_callbacks, .after_callbacks = after_callbacks};

const detail::ProcessHooks kHooks{
    .before_fork = before_fork,
    .after_fork_in_parent = after_fork_in_parent,
    .after_fork_in_worker = []() noexcept { PyOS_AfterFork_Child(); },
    .interrupted = interrupted,
    .before_callbacks = before_callbacks,
    .after_callbacks = after_callbacks,
    .run_worker = run_worker,
    .before_sleep = before_sleep,
    .after_sleep = after_sleep,
    .write_crash_note = write_crash_note,
};

}  // namespace retinue::python
