// A pool as Python sees it: its start, its end and what it says of itself. What is policy (names, defaults, messages) is
// written in Python, in the classes that derive from this one.
#include "pool/pool.hpp"

#include <memory>
#include <new>
#include <utility>
#include <vector>

#include <retinue/process_pool.hpp>

#include "interpreter/waiting.hpp"
#include "pool/pool_object.hpp"
#include "processes/closing.hpp"
#include "processes/pool_start.hpp"

namespace retinue::python {
namespace {

// (PoolOptions, scope, program or None)
PyObject* start(PyObject* self, PyObject* arguments) noexcept {
  return guarded([&]() -> PyObject* {
    PyObject *options = nullptr, *scope = nullptr, *program = nullptr;
    if (!PyArg_ParseTuple(arguments, "OOO:_start_engine", &options, &scope, &program)) return nullptr;
    Pool& pool = pool_of(self);
    detail::Ref<detail::ProcessBackend> core;
    try {
      core = start_pool(options, program, pool.closed);
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

/// Has the threads that read inputs submit all of them, for nobody may come to take results.
PyObject* read_without_bound(PyObject* self, PyObject*) noexcept {
  return guarded([&]() -> PyObject* {
    for (const auto& tasks : pool_of(self).maps.living()) tasks->read_without_bound();
    return Py_NewRef(Py_None);
  });
}

/// Reads the inputs of maps to their end, so that the pool's end finds all that was asked for. Not those that somebody
/// has begun to read and whose inputs may have no end, nor those that another thread is reading.
PyObject* read_maps(PyObject* self, PyObject*) noexcept {
  return guarded([&]() -> PyObject* {
    for (const auto& tasks : pool_of(self).maps.living())
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
  pool.maps.end();
  if (pool.scope) check(in_python([&pool] { return PyObject_CallMethod(pool.scope.get(), "forget", nullptr); }));
  return pool_of(self).core;
}

// From now on nothing can be submitted: `_start` is called, and says why.
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
      const auto over = pool_of(self).maps.take_dropped();
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
      const auto over = pool_of(self).maps.take_dropped();
    }
    return Py_NewRef(Py_None);
  });
}

PyObject* worker_pids(PyObject* self, PyObject*) noexcept {
  return guarded([&]() -> PyObject* {
    const detail::Ref<detail::ProcessBackend> core = pool_of(self).core;
    Object list = check(PyList_New(0));
    std::vector<pid_t> pids;
    if (core.get() != nullptr) {
      const WithoutGil without;  // one may still be on its way
      pids = core->worker_pids();
    }
    for (const pid_t pid : pids) {
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
    return dict_of({{"submitted", s.submitted},
                    {"finished", s.finished},
                    {"failed", s.failed},
                    {"cancelled", s.cancelled},
                    {"retried", s.retried},
                    {"waiting", s.waiting},
                    {"in_slots", s.in_slots},
                    {"workers", s.workers},
                    {"workers_alive", s.workers_alive},
                    {"workers_died", s.workers_died},
                    {"workers_started", s.workers_started},
                    {"bytes_in_use", s.bytes_in_use},
                    {"bytes_peak", s.bytes_peak},
                    {"blocks", s.blocks},
                    {"bytes_warm", s.bytes_warm}})
        .release();
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
      pool && pool->core.get() != nullptr && !pool->ended && !pool->core->made_elsewhere()) {
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
    {"_map", map, METH_VARARGS, nullptr},
    {"_start_engine", start, METH_VARARGS, nullptr},
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

void call_start(PyObject* self) {
  check(in_python([self] { return PyObject_CallMethod(self, "_start", nullptr); }));
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
