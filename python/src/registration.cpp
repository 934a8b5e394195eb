#include "registration.hpp"

#include <cstring>
#include <string>

#include "interpreter/helpers.hpp"
#include "patterns/map_options.hpp"
#include "processes/pool_options.hpp"
#include "tasks/future.hpp"
#include "tasks/task_options.hpp"

namespace retinue::python {
namespace {

/// A function, or a class if it has a base; or, if it has no helper, a class of options.
struct Row {
  const char* group;
  const char* name;
  Helper* helper;
  PyTypeObject* base = nullptr;
  void (*match)(PyObject* cls) = nullptr;
};

PyTypeObject* const kAnyClass = &PyBaseObject_Type;

const Row rows[] = {
    {"errors", "make_error", &helpers::make_error},
    {"errors", "make_worker_died", &helpers::make_worker_died},

    {"pools", "dumps", &helpers::dumps},
    {"pools", "loads", &helpers::loads},
    {"pools", "function_bytes", &helpers::function_bytes},
    {"pools", "load_function", &helpers::load_function},
    {"pools", "split_partial", &helpers::split_partial},
    {"pools", "describe_error", &helpers::describe_error},
    {"pools", "rebuild_error", &helpers::rebuild_error},
    {"pools", "note_item", &helpers::note_item},
    {"pools", "text_of_initializer", &helpers::text_of_initializer},
    {"pools", "release_deleted", &helpers::release_deleted},
    {"pools", "future_class", &helpers::future_class, &FutureType},
    {"pools", "make_condition", &helpers::make_condition},
    {"pools", "notify_waiters", &helpers::notify_waiters},
    {"pools", "notify_in_thread", &helpers::notify_in_thread},
    {"pools", "run_callback", &helpers::run_callback},
    {"pools", "run_worker", &helpers::run_worker},
    {"pools", "idle_worker", &helpers::idle_worker},
    {"pools", "freeze_garbage", &helpers::freeze_garbage},
    {"pools", "repeat_class", &helpers::repeat_class, kAnyClass},
    {"pools", "count_class", &helpers::count_class, kAnyClass},
    {"pools", "timeout_class", &helpers::timeout_class, kAnyClass},
    {"pools", "import_arrays", &helpers::import_arrays},
    {"pools", "PoolOptions", nullptr, kAnyClass, [](PyObject* cls) { pool_options_table.match(cls); }},
    {"pools", "WorkerLimits", nullptr, kAnyClass, [](PyObject* cls) { worker_limits_table.match(cls); }},
    {"pools", "TaskOptions", nullptr, kAnyClass, [](PyObject* cls) { task_options_table.match(cls); }},
    {"pools", "MapOptions", nullptr, kAnyClass, [](PyObject* cls) { map_options_table.match(cls); }},

    {"arrays", "shared_array_class", &helpers::shared_array_class, kAnyClass},
    {"arrays", "shared_value_class", &helpers::shared_value_class, kAnyClass},
    {"arrays", "attach_array", &helpers::attach_array},
    {"arrays", "load_shared", &helpers::load_shared},
};

[[noreturn]] void refuse(const char* group, const std::string& why) {
  PyErr_Format(PyExc_ImportError, "retinue._engine and the retinue package do not fit together: of the group '%s' %s",
               group, why.c_str());
  throw PythonError{};
}

bool fits(const Row& row, PyObject* given) {
  if (row.base == nullptr) return PyCallable_Check(given) != 0;
  return PyType_Check(given) && PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(given), row.base) != 0;
}

void check_all(const char* group, PyObject* given) {
  std::string missing;
  Py_ssize_t known = 0;
  for (const Row& row : rows) {
    if (std::strcmp(row.group, group) != 0) continue;
    PyObject* const it = PyDict_GetItemString(given, row.name);
    if (it == nullptr) {
      missing.append(missing.empty() ? "" : ", ").append(row.name);
      continue;
    }
    ++known;
    if (!fits(row, it)) refuse(group, std::string(row.name) + " is not what it should be");
  }
  if (!missing.empty()) refuse(group, "these are missing: " + missing);
  if (known == 0) refuse(group, "nothing is known");
  if (known == PyDict_Size(given)) return;
  std::string unknown;
  PyObject *name = nullptr, *it = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(given, &at, &name, &it);) {
    const char* const text = PyUnicode_AsUTF8(name);
    if (text == nullptr) throw PythonError{};
    bool is_known = false;
    for (const Row& row : rows) is_known |= std::strcmp(row.group, group) == 0 && std::strcmp(row.name, text) == 0;
    if (!is_known) unknown.append(unknown.empty() ? "" : ", ").append(text);
  }
  refuse(group, "these are not known: " + unknown);
}

}  // namespace

PyObject* register_helpers(PyObject*, PyObject* arguments) noexcept {
  return guarded([arguments]() -> PyObject* {
    const char* group = nullptr;
    PyObject* given = nullptr;
    if (!PyArg_ParseTuple(arguments, "sO!:_register", &group, &PyDict_Type, &given)) return nullptr;
    check_all(group, given);
    for (const bool sets : {false, true})
      for (const Row& row : rows) {
        if (std::strcmp(row.group, group) != 0) continue;
        PyObject* const it = PyDict_GetItemString(given, row.name);
        if (sets && row.helper != nullptr) row.helper->set(it);
        if (!sets && row.match != nullptr) row.match(it);
      }
    return Py_NewRef(Py_None);
  });
}

}  // namespace retinue::python
