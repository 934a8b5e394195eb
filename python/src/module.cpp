// The extension module retinue._engine.
#include <retinue/cpu_count.hpp>
#include <retinue/version.hpp>

#include "memory/private_buffer.hpp"
#include "memory/shared_memory.hpp"
#include "patterns/map.hpp"
#include "pool/pool.hpp"
#include "processes/closing.hpp"
#include "processes/interpreter_hooks.hpp"
#include "processes/pool_start.hpp"
#include "registration.hpp"
#include "tasks/calls.hpp"
#include "tasks/future.hpp"
#include "tasks/task_options.hpp"

namespace retinue::python {
namespace {

PyObject* cpu_count_now(PyObject*, PyObject*) noexcept { return PyLong_FromUnsignedLong(cpu_count()); }

PyMethodDef functions[] = {
    {"cpu_count", cpu_count_now, METH_NOARGS,
     "The CPUs this process may use: its affinity and its cgroup's quota, rounded up."},
    {"shared_memory_usage", usage_now, METH_NOARGS,
     "shared_memory_usage() -> dict\n\nThe memory that this process shares with the workers of all its pools, in "
     "bytes: "
     "bytes_in_use by arguments, results and shared arrays, in so many blocks; bytes_peak, the most that has been; "
     "bytes_warm, kept for the next; bytes_reserved, what the kernel counts; bytes_limit, 0 for none."},
    {"limit_shared_memory", limit_memory, METH_O,
     "limit_shared_memory(bytes)\n\nThe most memory that this process and its workers may share; None: as much as the "
     "machine has. What would go beyond raises ResourceExhausted, in submit and map or in the task whose result finds "
     "no room. RETINUE_SHARED_MEMORY_LIMIT=4G in the environment sets it from outside. Thread-safe."},
    {"keep_shared_memory", keep_memory, METH_O,
     "keep_shared_memory(bytes)\n\nHow much memory that nobody uses is kept for the next arguments and results while "
     "this process and its workers are idle, half of it here, half in the workers; None, the default: a sixteenth of "
     "what the machine has left. All of it is returned to the system when less than an eighth of the machine's memory "
     "is "
     "left, and with the last pool. 0: nothing is kept for longer than two idle seconds. "
     "RETINUE_SHARED_MEMORY_KEPT=500M in the environment sets it from outside. Thread-safe."},
    {"trim_shared_memory", trim_memory, METH_NOARGS,
     "trim_shared_memory()\n\nReturns memory that is kept for the next arguments and results to the system now; idle "
     "workers do so within milliseconds."},
    {"use_huge_pages", ask_for_huge_pages, METH_NOARGS,
     "use_huge_pages() -> bool\n\nAsks for pages of 2 MB in shared memory; before the first pool is made. False if the "
     "kernel is not set to give them: /sys/kernel/mm/transparent_hugepage/shmem_enabled must not be never. "
     "RETINUE_HUGE_PAGES=1 in the environment asks from outside."},
    {"_register", register_helpers, METH_VARARGS, nullptr},
    {"_read_task_options", read_task_options, METH_O, nullptr},
    {"_encode_call", encode_call, METH_VARARGS, nullptr},
    {"_attach", attach, METH_O, nullptr},
    {"_serve", serve, METH_O, nullptr},
    {"_leave_worker", leave_this_worker, METH_NOARGS, nullptr},
    {"_run_end", run_end, METH_O, nullptr},
    {"_wait_for_closing", wait_for_closing, METH_NOARGS, nullptr},
    {},
};

PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "retinue._engine",
                          "The C++ engine behind retinue.",
                          -1,
                          functions,
                          nullptr,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace
}  // namespace retinue::python

PyMODINIT_FUNC PyInit__engine() {
  using namespace retinue::python;
  for (PyTypeObject* type : {&FutureType, &MapType, &PoolType, &SharedMemoryType, &PrivateBufferType, &TaskOptionsType})
    if (PyType_Ready(type) < 0) return nullptr;
  Object module(PyModule_Create(&definition));
  if (!module) return nullptr;
  if (PyModule_AddObjectRef(module.get(), "Future", reinterpret_cast<PyObject*>(&FutureType)) < 0 ||
      PyModule_AddObjectRef(module.get(), "MapIterator", reinterpret_cast<PyObject*>(&MapType)) < 0 ||
      PyModule_AddObjectRef(module.get(), "Pool", reinterpret_cast<PyObject*>(&PoolType)) < 0 ||
      PyModule_AddObjectRef(module.get(), "SharedMemory", reinterpret_cast<PyObject*>(&SharedMemoryType)) < 0)
    return nullptr;
  if (PyModule_AddStringConstant(module.get(), "__version__", RETINUE_VERSION) < 0) return nullptr;
  const auto add = [&](const char* name, Reading reading) {
    return PyModule_AddIntConstant(module.get(), name, static_cast<long>(reading)) == 0;
  };
  if (!add("READ_LAZILY", Reading::lazily) || !add("READ_IN_CALL", Reading::in_call) ||
      !add("READ_IN_THREAD", Reading::in_thread) || !add("READ_LATER", Reading::later))
    return nullptr;
  return module.release();
}
