#include "tasks/task_options.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <type_traits>

namespace retinue::python {
namespace {

struct TaskOptionsObject {
  PyObject_HEAD TaskOptions options;
};
static_assert(std::is_trivially_destructible_v<TaskOptions>);  // tp_dealloc is object's

[[noreturn]] void refuse(const char* why) {
  PyErr_SetString(PyExc_ValueError, why);
  throw PythonError{};
}

std::chrono::nanoseconds timeout_from(PyObject* seconds) {
  if (seconds == Py_None) return {};
  const double s = PyFloat_AsDouble(seconds);
  if (s == -1.0 && PyErr_Occurred() != nullptr) throw PythonError{};  // Python's side has words for it
  if (!(s > 0)) refuse("a task's timeout must be a number of seconds above zero");
  return std::chrono::nanoseconds(s < 9e9 ? static_cast<std::int64_t>(s * 1e9) : std::int64_t{0});
}

unsigned retries_from(PyObject* retries) {
  const long n = PyLong_AsLong(retries);
  if (n == -1 && PyErr_Occurred() != nullptr) throw PythonError{};
  if (n < 0) refuse("retries must not be negative");
  return static_cast<unsigned>(std::min(n, 1'000'000L));
}

constexpr Option<TaskOptions> rows[] = {
    {"timeout", [](TaskOptions& o, PyObject* value) { o.timeout = timeout_from(value); }},
    {"retries", [](TaskOptions& o, PyObject* value) { o.retries = retries_from(value); }},
};

}  // namespace

OptionTable<TaskOptions> task_options_table{rows};

PyObject* read_task_options(PyObject*, PyObject* options) noexcept {
  return guarded([options]() -> PyObject* {
    TaskOptions read;
    task_options_table.read(options, read);
    Object object = check(TaskOptionsType.tp_alloc(&TaskOptionsType, 0));
    new (&reinterpret_cast<TaskOptionsObject*>(object.get())->options) TaskOptions(read);
    return object.release();
  });
}

const TaskOptions& task_options_of(PyObject* object) {
  if (Py_TYPE(object) != &TaskOptionsType) {
    PyErr_Format(PyExc_TypeError, "retinue._engine: these are no options of _read_task_options: %R", object);
    throw PythonError{};
  }
  return reinterpret_cast<TaskOptionsObject*>(object)->options;
}

PyTypeObject TaskOptionsType = [] {
  PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
  type.tp_name = "retinue._engine.TaskOptions";
  type.tp_basicsize = sizeof(TaskOptionsObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT;
  type.tp_doc = "Options of tasks, read once for all tasks that have them. Made by _read_task_options.";
  return type;
}();

}  // namespace retinue::python
