// A pool as Python sees it: submits and maps, and its end. What is policy (names, defaults, messages) is written in
// Python, in the classes that derive from this one.
#include "pool.hpp"

#include <algorithm>
#include <new>
#include <vector>

#include <retinue/process_pool.hpp>

#include "calls.hpp"
#include "closing.hpp"
#include "future.hpp"
#include "held_until_done.hpp"
#include "map.hpp"
#include "pool_start.hpp"
#include "waiting.hpp"

namespace retinue::python {
namespace {

Helper let_go_of_deleted{"retinue._scope", "let_go_of_deleted"};
Helper split_partial{"retinue._pickling", "split_partial"};

/// With the GIL held.
struct Pool {
  detail::Ref<detail::ProcessBackend> core;  // null until it is started
  Functions functions;
  Object scope;
  std::vector<std::weak_ptr<MapTasks>> maps;
  std::vector<std::shared_ptr<MapTasks>> dropped;  // maps nobody reads, whose tasks run all the same
  bool closed = false;  // takes no more work; while it is started: a wish that the start carries out
  bool ended = false;   // its end has begun

  detail::ProcessBackend& open_core() const {
    if (core.get() == nullptr) throw PoolClosed("the pool was not started");
    return *core;
  }
  void sweep() {
    std::erase_if(maps, [](const auto& map) { return map.expired(); });
    // Letting go of a map may run code of the program's (`__del__`), which may submit and so come by here again.
    for (auto& map : std::exchange(dropped, {}))
      if (!map->drop_results()) dropped.push_back(std::move(map));
  }
};

struct PoolObject {
  PyObject_HEAD PyObject* weak_references;
  std::shared_ptr<Pool> pool;  // also held by what ends it in the background
};

PoolObject& object_of(PyObject* self) noexcept { return *reinterpret_cast<PoolObject*>(self); }
Pool& pool_of(PyObject* self) noexcept { return *object_of(self).pool; }

std::chrono::nanoseconds nanoseconds_from(PyObject* seconds) {
  if (seconds == nullptr || seconds == Py_None) return {};
  const double s = PyFloat_AsDouble(seconds);
  if (s == -1.0 && PyErr_Occurred() != nullptr) throw PythonError{};
  if (!(s > 0)) {
    PyErr_SetString(PyExc_ValueError, "a task's timeout must be a number of seconds above zero");
    throw PythonError{};
  }
  return std::chrono::nanoseconds(s < 9e9 ? static_cast<std::int64_t>(s * 1e9) : std::int64_t{0});
}

/// (timeout, retries) as given to options().
TaskOptions options_from(PyObject* timeout, PyObject* retries) {
  TaskOptions options;
  options.timeout = nanoseconds_from(timeout);
  if (retries != nullptr && retries != Py_None) {
    const long n = PyLong_AsLong(retries);
    if (n == -1 && PyErr_Occurred() != nullptr) throw PythonError{};
    if (n < 0) {
      PyErr_SetString(PyExc_ValueError, "retries must not be negative");
      throw PythonError{};
    }
    options.retries = static_cast<unsigned>(std::min(n, 1'000'000L));
  }
  return options;
}

void start_if_need_be(PyObject* self) {
  if (pool_of(self).core.get() == nullptr || pool_of(self).closed)
    check(in_python([self] { return PyObject_CallMethod(self, "_start", nullptr); }));
}

Object submit_call(PyObject* self, const TaskOptions& options, PyObject* const* arguments, std::size_t count,
                   PyObject* names) {
  if (count == 0) {
    PyErr_SetString(PyExc_TypeError, "submit() needs a function as its first argument");
    throw PythonError{};
  }
  start_if_need_be(self);
  Pool& pool = pool_of(self);
  const detail::Ref<detail::ProcessBackend> core = pool.core;
  if (core.get() == nullptr) throw PoolClosed("the pool was shut down");
  if (!pool.dropped.empty()) pool.sweep();
  FunctionRef function;
  detail::StagedPayload payload;
  Object kept;
  bool to_the_end = false;
  try {
    const bool again = options.retries.value_or(0) != 0;
    Encoder encoder(pool.scope.get(), nullptr, again);
    function = pool.functions.for_submit(arguments[0], pool.scope.get(), again);
    function->write(encoder);
    write_arguments(encoder, arguments + 1, count - 1, names);
    const std::size_t size = encoder.size();
    encoder.write_to(payload.prepare(size));
    kept = encoder.kept();
    to_the_end = encoder.kept_to_the_end() || function->kept_to_the_end();
  } catch (const PythonError&) {
    if (!concerns_value()) throw;
    Object error = take_error();
    if (error) PyException_SetTraceback(error.get(), Py_None);  // its frames hold the arguments
    core->check_open();
    return make_failed_future(std::move(error));
  }
  detail::Ref<detail::EncodedCompletion> task = core->submit(call_entry(), payload, options);
  if (to_the_end) {
    std::vector<Object> all;
    all.push_back(std::exchange(kept, Object()));
    task->on_done([held = std::make_shared<HeldUntilDone>(function, std::move(all))]() mutable { held.reset(); });
  }
  return make_future(std::move(task), std::move(function), std::move(kept), !to_the_end);
}

PyObject* submit(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    return submit_call(self, TaskOptions{}, arguments, static_cast<std::size_t>(count), names).release();
  });
}

// (timeout, retries, function, *arguments, **names)
PyObject* submit_with(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    if (count < 2) {
      PyErr_SetString(PyExc_TypeError, "_submit_with() needs a timeout and retries");
      return nullptr;
    }
    const TaskOptions options = options_from(arguments[0], arguments[1]);
    return submit_call(self, options, arguments + 2, static_cast<std::size_t>(count - 2), names).release();
  });
}

// In the line that called `map` of an executor, which calls a function that calls this.
int warn_of_too_much() {
  return in_python([] {
    return PyErr_WarnEx(
        PyExc_RuntimeWarning,
        "a map's inputs are more than is read in the call (64 MB, or an eighth of the limit of shared memory): "
        "the others are read as results are taken, as they are then. Say buffersize= to have all read so",
        3);
  });
}

PyObject* map(PyObject* self, PyObject* arguments, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    static const char* keywords[] = {"function", "iterables",    "star",    "ordered", "look_ahead",
                                     "timeout",  "task_timeout", "retries", "reading", nullptr};
    PyObject *callable = nullptr, *iterables = nullptr, *timeout = nullptr, *task_timeout = nullptr, *retries = nullptr;
    int star = 0, ordered = 1, reading = 0;
    Py_ssize_t look_ahead = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "OO!|ppnOOOi:_map", const_cast<char**>(keywords), &callable,
                                     &PyTuple_Type, &iterables, &star, &ordered, &look_ahead, &timeout, &task_timeout,
                                     &retries, &reading))
      return nullptr;
    MapPlan plan;
    plan.deadline = deadline_from(timeout);
    plan.star = star != 0;
    plan.order = ordered != 0 ? detail::Order::inputs : detail::Order::completion;
    plan.options = options_from(task_timeout, retries);
    plan.options.look_ahead = static_cast<std::size_t>(std::max<Py_ssize_t>(look_ahead, 0));
    plan.results_first = reading == static_cast<int>(Reading::in_call) || plan.options.look_ahead != 0;

    start_if_need_be(self);
    Pool& pool = pool_of(self);
    plan.core = pool.core;
    if (plan.core.get() == nullptr) throw PoolClosed("the pool was shut down");
    plan.core->check_open();
    plan.scope = pool.scope;
    pool.sweep();
    let_go_of_deleted();
    take_inputs(plan, iterables, static_cast<Reading>(reading));
    if (Object parts = split_partial(callable, pool.scope.get()); parts.get() != Py_None) {
      callable = PyTuple_GET_ITEM(parts.get(), 0);
      plan.bound = std::move(parts);
    }
    plan.function = pool.functions.for_map(callable, pool.scope.get());
    auto tasks = std::make_shared<MapTasks>(std::move(plan));
    pool.maps.push_back(tasks);
    const Object map = make_map(std::move(tasks), self);  // from here on it looks after what its tasks need
    const std::shared_ptr<MapTasks> made = pool.maps.back().lock();
    made->start();
    if (made->was_too_much() && warn_of_too_much() < 0) {
      const ErrorAside aside;
      made->close();
      return nullptr;
    }
    return Py_NewRef(map.get());
  });
}

PyObject* start(PyObject* self, PyObject* arguments, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    PyObject* scope = nullptr;
    Pool& pool = pool_of(self);
    detail::Ref<detail::ProcessBackend> core;
    try {
      core = start_pool(arguments, names, scope, pool.closed);
    } catch (const Error&) {
      if (!pool.closed) throw;  // else the start was given up for that
    }
    if (pool.closed) {  // by another thread, or by a signal handler in this one
      if (core.get() != nullptr) {
        const WithoutGil without;
        core->terminate();
      }
      throw PoolClosed("cannot schedule new futures after shutdown");
    }
    pool.scope = Object::borrowed(scope);
    pool.core = std::move(core);
    return Py_NewRef(Py_None);
  });
}

std::vector<std::shared_ptr<MapTasks>> living_maps(const Pool& pool) {
  std::vector<std::shared_ptr<MapTasks>> all;
  for (const auto& weak : pool.maps)
    if (auto tasks = weak.lock()) all.push_back(std::move(tasks));
  return all;
}

/// Has the threads that read inputs hand in all of them, for nobody may come to take results.
PyObject* read_without_bound(PyObject* self, PyObject*) noexcept {
  return guarded([&]() -> PyObject* {
    for (const auto& tasks : living_maps(pool_of(self))) tasks->read_without_bound();
    return Py_NewRef(Py_None);
  });
}

/// Reads the inputs of maps to their end, so that the pool's end finds all that was asked for. Not those that somebody
/// has begun to read and whose inputs may have no end, nor those that another thread is reading.
PyObject* read_maps(PyObject* self, PyObject*) noexcept {
  return guarded([&]() -> PyObject* {
    for (const auto& tasks : living_maps(pool_of(self)))
      if (tasks->should_be_read_at_the_end()) tasks->read_all();
    return Py_NewRef(Py_None);
  });
}

PyObject* wait_until_idle(PyObject* self, PyObject* timeout) noexcept {
  return guarded([&]() -> PyObject* {
    const detail::Ref<detail::ProcessBackend> core = pool_of(self).core;
    if (core.get() == nullptr) return Py_NewRef(Py_True);
    return PyBool_FromLong(wait_in_slices(deadline_from(timeout),
                                          [&core](const Deadline& slice) { return core->wait_until_idle(slice); }));
  });
}

/// Takes the core for its end: from now on the pool is closed.
detail::Ref<detail::ProcessBackend> core_to_end(PyObject* self) {
  Pool& pool = pool_of(self);
  pool.closed = pool.ended = true;
  for (const auto& tasks : living_maps(pool)) tasks->end_reading();
  if (pool.scope) check(in_python([&pool] { return PyObject_CallMethod(pool.scope.get(), "forget", nullptr); }));
  return pool_of(self).core;
}

// From now on nothing can be handed in: `_start` is called, and says why.
PyObject* refuse(PyObject* self, PyObject*) noexcept {
  pool_of(self).closed = true;
  return Py_NewRef(Py_None);
}

PyObject* shut_down(PyObject* self, PyObject* cancel_pending) noexcept {
  return guarded([&]() -> PyObject* {
    const bool cancel = PyObject_IsTrue(cancel_pending) == 1;
    if (const detail::Ref<detail::ProcessBackend> core = core_to_end(self); core.get() != nullptr) {
      {
        const WithoutGil without;
        core->shutdown(cancel);
      }
      const auto over = std::exchange(pool_of(self).dropped, {});
    }
    return Py_NewRef(Py_None);
  });
}

PyObject* shut_down_later(PyObject* self, PyObject* cancel_pending) noexcept {
  return guarded([&]() -> PyObject* {
    const bool cancel = PyObject_IsTrue(cancel_pending) == 1;
    if (detail::Ref<detail::ProcessBackend> core = core_to_end(self); core.get() != nullptr)
      closing().begin(std::move(core), cancel, object_of(self).pool);
    return Py_NewRef(Py_None);
  });
}

PyObject* terminate(PyObject* self, PyObject*) noexcept {
  return guarded([&]() -> PyObject* {
    if (const detail::Ref<detail::ProcessBackend> core = core_to_end(self); core.get() != nullptr) {
      {
        const WithoutGil without;
        core->terminate();
      }
      const auto over = std::exchange(pool_of(self).dropped, {});
    }
    return Py_NewRef(Py_None);
  });
}

PyObject* worker_pids(PyObject* self, PyObject*) noexcept {
  return guarded([&]() -> PyObject* {
    const detail::Ref<detail::ProcessBackend> core = pool_of(self).core;
    Object list = check(PyList_New(0));
    if (core.get() != nullptr)
      for (const pid_t pid : core->worker_pids()) {
        const Object number = check(PyLong_FromLong(pid));
        check(PyList_Append(list.get(), number.get()));
      }
    return list.release();
  });
}

PyObject* stats(PyObject* self, PyObject*) noexcept {
  return guarded([&]() -> PyObject* {
    const detail::Ref<detail::ProcessBackend> core = pool_of(self).core;
    const PoolStats s = core.get() != nullptr ? core->stats() : PoolStats{};
    return Py_BuildValue("{sK sK sK sK sK sK sK sI sI sK sK sK sK sK sK}", "submitted", s.submitted, "finished",
                         s.finished, "failed", s.failed, "cancelled", s.cancelled, "retried", s.retried, "waiting",
                         s.waiting, "in_slots", s.in_slots, "workers", s.workers, "workers_alive", s.workers_alive,
                         "workers_died", s.workers_died, "workers_started", s.workers_started, "bytes_in_use",
                         s.bytes_in_use, "bytes_peak", s.bytes_peak, "blocks", s.blocks, "bytes_warm", s.bytes_warm);
  });
}

PyObject* is_started(PyObject* self, void*) noexcept { return PyBool_FromLong(pool_of(self).core.get() != nullptr); }
PyObject* is_closed(PyObject* self, void*) noexcept { return PyBool_FromLong(pool_of(self).closed); }

// As the standard executor has it: False, or why the pool takes no more work though nobody has ended it.
PyObject* is_broken(PyObject* self, void*) noexcept {
  return guarded([&]() -> PyObject* {
    const Pool& pool = pool_of(self);
    if (pool.core.get() == nullptr || pool.ended) return Py_NewRef(Py_False);
    try {
      const detail::Ref<detail::ProcessBackend> core = pool.core;
      const WithoutGil without;
      core->check_open();
    } catch (const PoolClosed& e) {
      return PyUnicode_FromString(e.what());
    }
    return Py_NewRef(Py_False);
  });
}

PyObject* make(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  new (&object_of(self).pool) std::shared_ptr<Pool>();
  const auto made = guarded([self]() -> PyObject* {
    object_of(self).pool = std::make_shared<Pool>();
    return self;
  });
  if (made == nullptr) Py_DECREF(self);
  return made;
}

int init(PyObject*, PyObject*, PyObject*) { return 0; }

int traverse(PyObject* self, visitproc visit, void* arg) {
  if (object_of(self).pool) Py_VISIT(pool_of(self).scope.get());
  return 0;
}

void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  PoolObject& object = object_of(self);
  if (object.weak_references != nullptr) PyObject_ClearWeakRefs(self);
  if (const std::shared_ptr<Pool> pool = std::move(object.pool);
      pool && pool->core.get() != nullptr && !pool->ended && !pool->core->foreign()) {
    // Nobody has shut it down: what was submitted is finished, as with concurrent.futures, but not waited for.
    try {
      closing().begin(pool->core, false, pool);
    } catch (...) {
      const WithoutGil without;
      pool->core->shutdown(true);
    }
  }
  object.pool.~shared_ptr();
  Py_TYPE(self)->tp_free(self);
}

PyMethodDef methods[] = {
    {"submit", method(submit), METH_FASTCALL | METH_KEYWORDS,
     "submit(function, /, *args, **kwargs) -> Future\n\nRuns function(*args, **kwargs) in a worker. Never blocks."},
    {"_submit_with", method(submit_with), METH_FASTCALL | METH_KEYWORDS, nullptr},
    {"_map", method(map), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"_start_engine", method(start), METH_VARARGS | METH_KEYWORDS, nullptr},
    {"_read_without_bound", read_without_bound, METH_NOARGS, nullptr},
    {"_read_maps", read_maps, METH_NOARGS, nullptr},
    {"_wait_until_idle", wait_until_idle, METH_O, nullptr},
    {"_refuse", refuse, METH_NOARGS, nullptr},
    {"_shut_down", shut_down, METH_O, nullptr},
    {"_shut_down_later", shut_down_later, METH_O, nullptr},
    {"_terminate", terminate, METH_NOARGS, nullptr},
    {"worker_pids", worker_pids, METH_NOARGS, "The process ids of the workers now alive."},
    {"stats", stats, METH_NOARGS, "What the pool has done so far, as a dict of counts."},
    {},
};

PyGetSetDef properties[] = {
    {"_started", is_started, nullptr, nullptr, nullptr},
    {"_closed", is_closed, nullptr, nullptr, nullptr},
    {"_broken", is_broken, nullptr, nullptr, nullptr},
    {},
};

}  // namespace

void map_is_dropped(PyObject* self, const std::shared_ptr<MapTasks>& tasks) {
  Pool& pool = pool_of(self);
  if (pool.core.get() != nullptr && pool.core->foreign()) return;
  if (tasks->is_being_read_to_its_end()) return pool.dropped.push_back(tasks);
  if (!tasks->closed() && tasks->untouched() && !pool.ended && tasks->has_reader()) {
    tasks->go_on_alone();
    return pool.dropped.push_back(tasks);
  }
  if (!tasks->closed() && tasks->untouched() && !pool.ended) {
    try {
      tasks->read_all();
    } catch (...) {
      tasks->close();
      throw;
    }
    pool.dropped.push_back(tasks);
    return;
  }
  tasks->close();
}

PyTypeObject PoolType = [] {
  PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
  type.tp_name = "retinue._engine.Pool";
  type.tp_basicsize = sizeof(PoolObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC;
  type.tp_weaklistoffset = offsetof(PoolObject, weak_references);
  type.tp_new = make;
  type.tp_init = init;
  type.tp_dealloc = dealloc;
  type.tp_traverse = traverse;
  type.tp_methods = methods;
  type.tp_getset = properties;
  type.tp_doc = "A pool of worker processes, without policy. Use retinue.futures or retinue.multiprocessing.";
  return type;
}();

}  // namespace retinue::python
