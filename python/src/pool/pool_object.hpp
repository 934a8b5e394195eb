// What a pool is as a Python object.
#pragma once

#include <memory>

#include <retinue/detail/processes/process_backend.hpp>
#include <retinue/error.hpp>

#include "interpreter/python.hpp"
#include "patterns/pool_maps.hpp"
#include "tasks/calls.hpp"

namespace retinue::python {

/// With the GIL held.
struct Pool {
  detail::Ref<detail::ProcessBackend> core;  // null until it is started
  Functions functions;
  Object scope;
  PoolMaps maps;
  bool closed = false;  // takes no more work; while it is started: a wish that the start carries out
  bool ended = false;   // its end has begun
};

struct PoolObject {
  PyObject_HEAD PyObject* weak_references;
  std::shared_ptr<Pool> pool;  // also held by what ends it in the background
};

inline PoolObject& object_of(PyObject* self) noexcept { return *reinterpret_cast<PoolObject*>(self); }
inline Pool& pool_of(PyObject* self) noexcept { return *object_of(self).pool; }

/// Has the pool's class start it, or say why not. Throws PythonError.
void call_start(PyObject* self);
/// The pool's core, started if need be. Throws PythonError or PoolClosed if it takes no more work.
inline detail::Ref<detail::ProcessBackend> started_core_of(PyObject* self) {
  if (pool_of(self).core.get() == nullptr || pool_of(self).closed) call_start(self);
  detail::Ref<detail::ProcessBackend> core = pool_of(self).core;
  if (core.get() == nullptr) throw PoolClosed("the pool was shut down");
  return core;
}

// Methods of the pool, in files of their own.

/// submit(function, *arguments, **names)
PyObject* submit(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) noexcept;
/// _submit_with(what _read_task_options gave, function, *arguments, **names)
PyObject* submit_with(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) noexcept;
/// _map(function, iterables, MapOptions)
PyObject* map(PyObject* self, PyObject* arguments) noexcept;

}  // namespace retinue::python
