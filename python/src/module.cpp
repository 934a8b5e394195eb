// The extension module retinue._engine.
#include <retinue/cpu_count.hpp>

#include "closing.hpp"
#include "future.hpp"
#include "map.hpp"
#include "pool.hpp"
#include "pool_start.hpp"
#include "shared_memory.hpp"

namespace retinue::python {
namespace {

PyObject* cpu_count_now(PyObject*, PyObject*) noexcept { return PyLong_FromUnsignedLong(cpu_count()); }

PyMethodDef functions[] = {
    {"cpu_count", cpu_count_now, METH_NOARGS,
     "The CPUs this process may use: its affinity and its cgroup's quota, rounded up."},
    {"_set_future_class", set_future_class, METH_O, nullptr},
    {"_attach", attach, METH_O, nullptr},
    {"_serve", serve, METH_VARARGS, nullptr},
    {"_wait_for_closing", wait_for_closing, METH_NOARGS, nullptr},
    {},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT, "retinue._engine", "The C++ engine behind retinue.", -1, functions,
                          nullptr, nullptr, nullptr, nullptr};

}  // namespace
}  // namespace retinue::python

PyMODINIT_FUNC PyInit__engine() {
  using namespace retinue::python;
  for (PyTypeObject* type : {&FutureType, &MapType, &PoolType, &SharedMemoryType})
    if (PyType_Ready(type) < 0) return nullptr;
  Object module(PyModule_Create(&definition));
  if (!module) return nullptr;
  if (PyModule_AddObjectRef(module.get(), "Future", reinterpret_cast<PyObject*>(&FutureType)) < 0 ||
      PyModule_AddObjectRef(module.get(), "MapIterator", reinterpret_cast<PyObject*>(&MapType)) < 0 ||
      PyModule_AddObjectRef(module.get(), "Pool", reinterpret_cast<PyObject*>(&PoolType)) < 0 ||
      PyModule_AddObjectRef(module.get(), "SharedMemory", reinterpret_cast<PyObject*>(&SharedMemoryType)) < 0)
    return nullptr;
  return module.release();
}
