// Futures that cost little until someone looks: an engine task, and the outcome once it was asked for. The machinery
// of concurrent.futures (condition, waiters, callbacks) is made when one of its functions reaches for it; from then
// on the pool's service thread reports the end to it.
#include "tasks/future.hpp"

#include <new>

#include <retinue/detail/memory/private_memory.hpp>

#include "interpreter/helpers.hpp"
#include "interpreter/waiting.hpp"
#include "tasks/held_until_done.hpp"
#include "tasks/result_source.hpp"

namespace retinue::python {
namespace {

/// All with the GIL held. `task` is given up once its outcome is in `value` or `error`.
struct FutureObject {
  PyObject_HEAD PyObject* weak_references;
  detail::Ref<detail::EncodedCompletion> task;
  std::shared_ptr<const void> source;  // of a large result, while it is being read
  std::span<const std::byte> source_bytes;
  FunctionRef function;  // if it must be kept
  PyObject* kept;
  PyObject* value;
  PyObject* error;
  bool cancelled;
  // The machinery, null until it is reached for
  PyObject* condition;
  PyObject* waiters;
  PyObject* callbacks;
  bool notifying;
  bool notified;  // its waiters know that it is done
};

FutureObject& self_of(PyObject* self) noexcept { return *reinterpret_cast<FutureObject*>(self); }
bool fetched(const FutureObject& f) noexcept { return f.value != nullptr || f.error != nullptr; }
bool is_done(FutureObject& f) noexcept { return fetched(f) || (f.task && f.task->done()); }

void release_task(FutureObject& f) noexcept {
  f.task = {};
  f.source.reset();
  f.function.reset();
  Py_CLEAR(f.kept);
}

/// A result that Python objects may share is taken out of its task, once; other threads may ask for it while it is
/// read.
std::span<const std::byte> bytes_of(FutureObject& f, detail::EncodedCompletion& task) {
  if (f.source) return f.source_bytes;
  const auto bytes = task.value_bytes();
  if (bytes.size() < detail::PrivateMemory::kWorthwhile) return bytes;
  f.source = hold(task.take_block());
  return f.source_bytes = bytes;
}

/// Reads the outcome of a done task, which it gives up.
void fetch(FutureObject& f) {
  if (fetched(f)) return;
  const detail::Ref<detail::EncodedCompletion> task = f.task;
  Outcome outcome;
  std::exception_ptr error;
  try {
    task->wait(std::nullopt);  // it is done: this reads its slot
    const auto bytes = bytes_of(f, *task);
    outcome = read_outcome(bytes, f.source);
  } catch (const abi::__forced_unwind&) {
    stay_for_good();
  } catch (...) {
    error = std::current_exception();
  }
  if (error) {
    if (PyErr_Occurred() != nullptr && !concerns_value()) throw PythonError{};
    outcome.error = error_object(error);
    if (!outcome.error) throw PythonError{};
    if (PyType_Check(outcome.error.get())) outcome.error = check(PyObject_CallNoArgs(outcome.error.get()));
  }
  if (fetched(f)) return;  // another thread, while Python code was decoding
  f.cancelled = task->cancelled();
  f.value = outcome.value.release();
  f.error = outcome.error.release();
  release_task(f);
}

/// False if the deadline passed first.
bool wait(FutureObject& f, const Deadline& deadline) {
  if (is_done(f)) return true;
  if (!f.task) {
    PyErr_SetString(PyExc_RuntimeError, "this future belongs to no task; executors make futures");
    throw PythonError{};
  }
  if (deadline && *deadline == Clock::time_point::min()) return false;
  const detail::Ref<detail::Completion> task = f.task;
  return wait_in_slices(deadline, [&task](const Deadline& slice) { return task->wait(slice); });
}

/// Which wait it was, how long, and for what.
PyObject* raise_timeout(FutureObject& f, const char* function, PyObject* timeout) {
  const bool runs = f.task && f.task->running();
  PyErr_Format(PyExc_TimeoutError, "%s(timeout=%R): the task %s", function, timeout,
               runs ? "is still running, and goes on" : "has not started yet, and keeps its place");
  throw PythonError{};
}

PyObject* timeout_of(PyObject* const* arguments, Py_ssize_t count, PyObject* names, const char* function) {
  const Py_ssize_t named = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  if (count + named == 0) return nullptr;
  if (count + named > 1 ||
      (named == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") != 0)) {
    PyErr_Format(PyExc_TypeError, "%s() takes one argument, timeout", function);
    throw PythonError{};
  }
  return arguments[0];
}

PyObject* result(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    FutureObject& f = self_of(self);
    if (!fetched(f)) {
      PyObject* const timeout = timeout_of(arguments, count, names, "result");
      if (!wait(f, deadline_from(timeout))) return raise_timeout(f, "result", timeout);
      fetch(f);
    }
    if (f.error == nullptr) return Py_NewRef(f.value);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(f.error)), f.error);
    return nullptr;
  });
}

PyObject* exception(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    FutureObject& f = self_of(self);
    PyObject* const timeout = timeout_of(arguments, count, names, "exception");
    if (!wait(f, deadline_from(timeout))) return raise_timeout(f, "exception", timeout);
    fetch(f);
    if (f.cancelled) {
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(f.error)), f.error);
      return nullptr;
    }
    return Py_NewRef(f.error != nullptr ? f.error : Py_None);
  });
}

// True once it is done, False when the time is over.
PyObject* wait_method(PyObject* self, PyObject* timeout) noexcept {
  return guarded([&]() -> PyObject* { return PyBool_FromLong(wait(self_of(self), deadline_from(timeout))); });
}

PyObject* done(PyObject* self, PyObject*) noexcept { return PyBool_FromLong(is_done(self_of(self))); }

PyObject* cancelled(PyObject* self, PyObject*) noexcept {
  FutureObject& f = self_of(self);
  return PyBool_FromLong(f.cancelled || (f.task && f.task->cancelled()));
}

PyObject* running(PyObject* self, PyObject*) noexcept {
  FutureObject& f = self_of(self);
  return PyBool_FromLong(f.task && f.task->running());
}

PyObject* cancel(PyObject* self, PyObject* arguments, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    static const char* keywords[] = {"force", nullptr};
    PyObject* force = Py_False;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "|$O:cancel", const_cast<char**>(keywords), &force))
      return nullptr;
    if (!PyLong_Check(force) && force != Py_None) {  // "no" would be true
      PyErr_Format(PyExc_TypeError, "force must be True or False, not %R", force);
      return nullptr;
    }
    FutureObject& f = self_of(self);
    const detail::Ref<detail::Completion> task = f.task;
    return PyBool_FromLong(task ? task->cancel(PyObject_IsTrue(force) == 1) : f.cancelled);
  });
}

/// Called with the condition held, just before the waiters are notified.
PyObject* note_notified(PyObject* self, PyObject*) noexcept {
  self_of(self).notified = true;
  return Py_NewRef(Py_None);
}

/// The end is reported to whoever uses the machinery: once, in whichever thread comes first.
void notify(PyObject* self) {
  FutureObject& f = self_of(self);
  if (std::exchange(f.notifying, true)) return;
  bool interrupted = false;
  try {
    fetch(f);
  } catch (const PythonError&) {
    interrupted = true;
  }
  if (interrupted) {  // by a Ctrl-C while the value was loaded: nobody else will notify
    Object error = take_error();
    if (!fetched(f)) {
      f.error = error.release();
      release_task(f);
    }
  }
  Object interruption;
  constexpr int kMaxTries = 1000;
  for (int tries = 0; tries < kMaxTries; ++tries) {
    try {
      PyObject* const cancelled = f.cancelled ? Py_True : Py_False;
      PyObject* const failed = f.error != nullptr ? Py_True : Py_False;
      if (helpers::notify_waiters(self, cancelled, failed, tries > 0 ? Py_True : Py_False).get() == Py_True) break;
      helpers::notify_in_thread(self, cancelled, failed);
      return;
    } catch (const PythonError&) {
      if (concerns_value()) throw;
      interruption = take_error();  // by a Ctrl-C: all must be notified nevertheless
    }
  }
  const Object callbacks = Object::borrowed(f.callbacks);
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(callbacks.get()); ++i)
    helpers::run_callback(PyList_GET_ITEM(callbacks.get(), i), self);
  if (!interruption) return;
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(interruption.get())), interruption.get());
  throw PythonError{};
}

/// A reference that the service thread may drop.
struct HeldByEngine {
  explicit HeldByEngine(PyObject* p) noexcept : self(Py_NewRef(p)) {}
  HeldByEngine(const HeldByEngine&) = delete;
  HeldByEngine& operator=(const HeldByEngine&) = delete;
  ~HeldByEngine() {
    if (!Py_IsInitialized()) return;
    const WithGil with;
    Py_DECREF(self);
  }
  PyObject* self;
  bool left_behind = false;  // its callback is for the service thread; else the caller runs it on the spot
};

void materialize(PyObject* self) {
  FutureObject& f = self_of(self);
  if (f.condition != nullptr) return;
  if (is_done(f)) fetch(f);  // a Ctrl-C meanwhile is the caller's, and leaves all as it was
  Object condition = helpers::make_condition();
  Object waiters = check(PyList_New(0)), callbacks = check(PyList_New(0));
  if (f.condition != nullptr) return;  // another thread, while the condition was made
  f.condition = condition.release();
  f.waiters = waiters.release();
  f.callbacks = callbacks.release();
  if (fetched(f)) {
    f.notifying = f.notified = true;
    return;
  }
  if (!f.task) return;
  const detail::Ref<detail::Completion> task = f.task;
  const auto held = std::make_shared<HeldByEngine>(self);
  task->on_done([held] {
    const WithGil with;
    guarded([&held]() -> PyObject* {
      notify(held->self);
      return Py_None;
    });
    if (PyErr_Occurred() && held->left_behind) PyErr_WriteUnraisable(held->self);
  });
  held->left_behind = true;
  if (PyErr_Occurred()) throw PythonError{};
}

PyObject* add_done_callback(PyObject* self, PyObject* callback) noexcept {
  return guarded([&]() -> PyObject* {
    materialize(self);
    FutureObject& f = self_of(self);
    if (f.notified) helpers::run_callback(callback, self);
    else check(PyList_Append(f.callbacks, callback));
    return Py_NewRef(Py_None);
  });
}

template <PyObject* FutureObject::* member>
PyObject* get_machinery(PyObject* self, void*) noexcept {
  return guarded([self]() -> PyObject* {
    materialize(self);
    return Py_NewRef(self_of(self).*member);
  });
}

/// As concurrent.futures names states. Once the machinery is there, it changes when its waiters are notified.
PyObject* get_state(PyObject* self, void*) noexcept {
  FutureObject& f = self_of(self);
  const bool ended = f.condition != nullptr ? f.notified : is_done(f);
  const char* state = "PENDING";
  if (ended) state = f.cancelled || (f.task && f.task->cancelled()) ? "CANCELLED_AND_NOTIFIED" : "FINISHED";
  else if (f.task && f.task->running()) state = "RUNNING";
  return PyUnicode_InternFromString(state);
}

PyObject* get_value(PyObject* self, void*) noexcept {
  FutureObject& f = self_of(self);
  return Py_NewRef(f.value != nullptr ? f.value : Py_None);
}
PyObject* get_error(PyObject* self, void*) noexcept {
  return guarded([self]() -> PyObject* {
    FutureObject& f = self_of(self);
    if (is_done(f)) fetch(f);
    return Py_NewRef(f.error != nullptr && !f.cancelled ? f.error : Py_None);
  });
}

void leave_to_engine(FutureObject& f) noexcept {
  if (!f.task || f.task->done() || (!f.function && f.kept == nullptr)) return;
  try {
    std::vector<Object> kept;
    kept.push_back(Object::borrowed(f.kept));
    f.task->on_done([held = std::make_shared<HeldUntilDone>(std::move(f.function), std::move(kept))] {});
  } catch (const std::bad_alloc&) {
    // Nothing is left to hold it with; it goes too early.
  }
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  FutureObject& f = self_of(self);
  Py_VISIT(f.kept);
  Py_VISIT(f.value);
  Py_VISIT(f.error);
  Py_VISIT(f.condition);
  Py_VISIT(f.waiters);
  Py_VISIT(f.callbacks);
  return 0;
}

int clear(PyObject* self) {
  FutureObject& f = self_of(self);
  Py_CLEAR(f.value);
  Py_CLEAR(f.error);
  Py_CLEAR(f.condition);
  Py_CLEAR(f.waiters);
  Py_CLEAR(f.callbacks);
  return 0;
}

void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  FutureObject& f = self_of(self);
  if (f.weak_references != nullptr) PyObject_ClearWeakRefs(self);
  leave_to_engine(f);
  Py_CLEAR(f.kept);
  clear(self);
  f.task.~Ref();
  f.source.~shared_ptr();
  f.function.~shared_ptr();
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
}

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  FutureObject& f = self_of(self);
  new (&f.task) detail::Ref<detail::EncodedCompletion>();
  new (&f.source) std::shared_ptr<const void>();
  new (&f.function) FunctionRef();
  return self;
}

int init(PyObject*, PyObject*, PyObject*) { return 0; }

PyMethodDef methods[] = {
    {"result", method(result), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"exception", method(exception), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"_wait", wait_method, METH_O, nullptr},
    {"done", done, METH_NOARGS, nullptr},
    {"cancelled", cancelled, METH_NOARGS, nullptr},
    {"running", running, METH_NOARGS, nullptr},
    {"cancel", method(cancel), METH_VARARGS | METH_KEYWORDS,
     "cancel(*, force=False) -> bool\n\nTakes the task back if it has not started. With force, a running one is "
     "stopped "
     "too: its worker is killed and replaced."},
    {"_note_notified", note_notified, METH_NOARGS, nullptr},
    {"add_done_callback", add_done_callback, METH_O, nullptr},
    {},
};

PyGetSetDef properties[] = {
    {"_condition", get_machinery<&FutureObject::condition>, nullptr, nullptr, nullptr},
    {"_waiters", get_machinery<&FutureObject::waiters>, nullptr, nullptr, nullptr},
    {"_done_callbacks", get_machinery<&FutureObject::callbacks>, nullptr, nullptr, nullptr},
    {"_state", get_state, nullptr, nullptr, nullptr},
    {"_result", get_value, nullptr, nullptr, nullptr},
    {"_exception", get_error, nullptr, nullptr, nullptr},
    {},
};

}  // namespace

PyTypeObject FutureType = [] {
  PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
  type.tp_name = "retinue._engine.Future";
  type.tp_basicsize = sizeof(FutureObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC;
  type.tp_weaklistoffset = offsetof(FutureObject, weak_references);
  type.tp_new = make;
  type.tp_init = init;
  type.tp_dealloc = dealloc;
  type.tp_traverse = traverse;
  type.tp_clear = clear;
  type.tp_methods = methods;
  type.tp_getset = properties;
  type.tp_doc = "The outcome of one task. Made by executors.";
  return type;
}();

Object make_future(detail::Ref<detail::EncodedCompletion> task, FunctionRef function, Object kept, bool keep_function) {
  Object future(make(reinterpret_cast<PyTypeObject*>(helpers::future_class.get()), nullptr, nullptr));
  if (!future) throw PythonError{};
  FutureObject& f = self_of(future.get());
  f.task = std::move(task);
  if (keep_function && function->must_be_kept()) f.function = std::move(function);
  f.kept = kept.release();
  return future;
}

Object make_failed_future(Object error) {
  Object future(make(reinterpret_cast<PyTypeObject*>(helpers::future_class.get()), nullptr, nullptr));
  if (!future) throw PythonError{};
  self_of(future.get()).error = error.release();
  return future;
}

}  // namespace retinue::python
