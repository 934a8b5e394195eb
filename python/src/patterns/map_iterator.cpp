// The iterator that pool.map gives.
#include <new>

#include "interpreter/helpers.hpp"
#include "patterns/map.hpp"
#include "patterns/pool_maps.hpp"

namespace retinue::python {
namespace {

struct MapObject {
  PyObject_HEAD PyObject* weak_references;
  PyObject* pool;  // kept, so that it is not ended while results are still wanted
  PoolMaps* maps;  // the pool's
  std::shared_ptr<MapTasks> tasks;
};

MapObject& self_of(PyObject* self) noexcept { return *reinterpret_cast<MapObject*>(self); }

PyObject* next(PyObject* self) noexcept {
  return guarded([self]() -> PyObject* {
    // Held by `self`, which the caller holds.
    return self_of(self).tasks->next().release();
  });
}

// As the iterators of multiprocessing.Pool.imap have it.
PyObject* next_method(PyObject* self, PyObject* arguments, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    static const char* keywords[] = {"timeout", nullptr};
    PyObject* timeout = nullptr;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "|O:next", const_cast<char**>(keywords), &timeout))
      return nullptr;
    const std::shared_ptr<MapTasks> tasks = self_of(self).tasks;
    bool timed_out = false;
    Object value = tasks->next_until(deadline_from(timeout), timed_out);
    if (timed_out)
      PyErr_Format(helpers::timeout_class.get(), "next(timeout=%R): the next result is not there yet", timeout);
    else if (!value) PyErr_SetNone(PyExc_StopIteration);
    return value.release();
  });
}

// Appends results to a list as they come: True at their end, False when the time is over. Raises a failed item's
// exception, and can then be called again for the rest.
PyObject* gather(PyObject* self, PyObject* arguments) noexcept {
  return guarded([&]() -> PyObject* {
    PyObject *list = nullptr, *timeout = nullptr;
    if (!PyArg_ParseTuple(arguments, "O!O:_gather", &PyList_Type, &list, &timeout)) return nullptr;
    const std::shared_ptr<MapTasks> tasks = self_of(self).tasks;
    const Deadline deadline = deadline_from(timeout);
    for (bool timed_out = false;;) {
      const Object value = tasks->next_until(deadline, timed_out);
      if (timed_out) return Py_NewRef(Py_False);
      if (!value) return Py_NewRef(Py_True);
      check(PyList_Append(list, value.get()));
    }
  });
}

PyObject* read_all_in_call(PyObject* self, PyObject*) noexcept {
  return guarded([self]() -> PyObject* {
    const std::shared_ptr<MapTasks> tasks = self_of(self).tasks;
    tasks->read_all_in_call();
    return Py_NewRef(Py_None);
  });
}

constexpr const char* kReader = "retinue._engine.reader";

PyObject* read_ahead(PyObject* capsule, PyObject*) noexcept {
  return guarded([capsule]() -> PyObject* {
    const auto tasks = *static_cast<std::shared_ptr<MapTasks>*>(PyCapsule_GetPointer(capsule, kReader));
    tasks->read_ahead();
    return Py_NewRef(Py_None);
  });
}

PyMethodDef read_ahead_function = {"read_ahead", read_ahead, METH_NOARGS, nullptr};

// What a thread is to call, so that inputs are read while others wait; None if they need none. It keeps the map's tasks,
// but not the iterator, with which the map ends.
PyObject* reader(PyObject* self, PyObject*) noexcept {
  return guarded([self]() -> PyObject* {
    const std::shared_ptr<MapTasks>& tasks = self_of(self).tasks;
    if (!tasks->wants_reader() || tasks->has_reader()) return Py_NewRef(Py_None);
    auto held = std::make_unique<std::shared_ptr<MapTasks>>(tasks);
    const Object capsule = check(PyCapsule_New(held.get(), kReader, [](PyObject* it) {
      delete static_cast<std::shared_ptr<MapTasks>*>(PyCapsule_GetPointer(it, kReader));
    }));
    (void)held.release();
    Object function = check(PyCFunction_New(&read_ahead_function, capsule.get()));
    tasks->expect_reader();
    return function.release();
  });
}

// There is no thread for it.
PyObject* read_lazily(PyObject* self, PyObject*) noexcept {
  return guarded([self]() -> PyObject* {
    const std::shared_ptr<MapTasks> tasks = self_of(self).tasks;
    tasks->read_lazily();
    tasks->start();
    return Py_NewRef(Py_None);
  });
}

PyObject* close(PyObject* self, PyObject*) noexcept {
  self_of(self).tasks->close();
  return Py_NewRef(Py_None);
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(self_of(self).pool);
  return self_of(self).tasks ? self_of(self).tasks->traverse(visit, arg) : 0;
}

void finalize(PyObject* self) {
  const SavedError saved;
  guarded([self]() -> PyObject* {
    self_of(self).maps->drop(self_of(self).tasks);
    return Py_None;
  });
  if (PyErr_Occurred() != nullptr) PyErr_WriteUnraisable(self);
}

void dealloc(PyObject* self) {
  if (PyObject_CallFinalizerFromDealloc(self) < 0) return;
  PyObject_GC_UnTrack(self);
  MapObject& map = self_of(self);
  if (map.weak_references != nullptr) PyObject_ClearWeakRefs(self);
  map.tasks.~shared_ptr();
  Py_CLEAR(map.pool);
  Py_TYPE(self)->tp_free(self);
}

PyMethodDef methods[] = {
    {"next", method(next_method), METH_VARARGS | METH_KEYWORDS,
     "next(timeout=None)\n\nThe next result; raises multiprocessing.TimeoutError after so many seconds."},
    {"_gather", gather, METH_VARARGS, nullptr},
    {"_read_all_in_call", read_all_in_call, METH_NOARGS, nullptr},
    {"_reader", reader, METH_NOARGS, nullptr},
    {"_read_lazily", read_lazily, METH_NOARGS, nullptr},
    {"close", close, METH_NOARGS, "Cancels the tasks that have not started; the iterator is then at its end."},
    {},
};

}  // namespace

PyTypeObject MapType = [] {
  PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
  type.tp_name = "retinue._engine.MapIterator";
  type.tp_basicsize = sizeof(MapObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC;
  type.tp_weaklistoffset = offsetof(MapObject, weak_references);
  type.tp_dealloc = dealloc;
  type.tp_finalize = finalize;
  type.tp_traverse = traverse;
  type.tp_iter = PyObject_SelfIter;
  type.tp_iternext = next;
  type.tp_methods = methods;
  type.tp_doc = "The results of a map, as they are asked for.";
  return type;
}();

Object make_map(PyTypeObject* type, std::shared_ptr<MapTasks> tasks, PoolMaps& maps, PyObject* pool) {
  Object self = check(type->tp_alloc(type, 0));
  MapObject& map = self_of(self.get());
  new (&map.tasks) std::shared_ptr<MapTasks>(std::move(tasks));
  map.pool = Py_NewRef(pool);
  map.maps = &maps;
  return self;
}

}  // namespace retinue::python
