#include "patterns/map_options.hpp"

#include "tasks/task_options.hpp"

namespace retinue::python {
namespace {

Reading reading_from(PyObject* value) {
  const auto reading = number_from<std::uint8_t>(value);
  if (reading > static_cast<std::uint8_t>(Reading::later)) {
    PyErr_SetString(PyExc_ValueError, "retinue._engine: there is no such way to read inputs");
    throw PythonError{};
  }
  return static_cast<Reading>(reading);
}

PyTypeObject* iterator_class_from(PyObject* value) {
  if (!PyType_Check(value) || PyType_IsSubtype(reinterpret_cast<PyTypeObject*>(value), &MapType) == 0) {
    PyErr_SetString(PyExc_TypeError, "retinue._engine: the iterator of a map is no class of such");
    throw PythonError{};
  }
  return reinterpret_cast<PyTypeObject*>(value);
}

constexpr Option<MapOptions> rows[] = {
    {"star", [](MapOptions& o, PyObject* value) { o.star = bool_from(value); }},
    {"ordered", [](MapOptions& o, PyObject* value) { o.ordered = bool_from(value); }},
    {"look_ahead", [](MapOptions& o, PyObject* value) { o.look_ahead = number_from<std::size_t>(value); }},
    {"timeout",
     [](MapOptions& o, PyObject* value) {
       o.deadline = deadline_from(value);
       if (o.deadline) o.timeout = Object::borrowed(value);
     }},
    {"reading", [](MapOptions& o, PyObject* value) { o.reading = reading_from(value); }},
    {"task",
     [](MapOptions& o, PyObject* value) {
       if (value != Py_None) o.task = task_options_of(value);
     }},
    {"iterator",
     [](MapOptions& o, PyObject* value) {
       if (value != Py_None) o.iterator = iterator_class_from(value);
     }},
};

}  // namespace

OptionTable<MapOptions> map_options_table{rows};

}  // namespace retinue::python
