#include "processes/pool_options.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "interpreter/helpers.hpp"

namespace retinue::python {
namespace {

/// Runs in each worker. The objects were inherited by the fork.
struct Initializer {
  PyObject* function;
  PyObject* arguments;
  void operator()() const {
    PyObject* done = PyObject_Call(function, arguments, nullptr);
    if (done != nullptr) {
      Py_DECREF(done);
      return;
    }
    const Object error = take_error();
    std::string text = "an exception that could not be reported";
    try {
      const Object shown = helpers::text_of_initializer(error.get());
      Py_ssize_t size = 0;
      if (const char* utf8 = PyUnicode_AsUTF8AndSize(shown.get(), &size))
        text.assign(utf8, static_cast<std::size_t>(size));
    } catch (const PythonError&) {
      PyErr_Clear();
    }
    throw std::runtime_error(text);
  }
};

template <class T>
std::optional<T> optional_from(PyObject* number) {
  if (number == Py_None) return std::nullopt;
  return T(number_from<std::uint64_t>(number));
}

std::string text_from(PyObject* value) {
  Py_ssize_t size = 0;
  const char* const utf8 = PyUnicode_AsUTF8AndSize(value, &size);
  if (utf8 == nullptr) throw PythonError{};
  return {utf8, static_cast<std::size_t>(size)};
}

constexpr Option<WorkerLimits> limits[] = {
    {"cpu_seconds", [](WorkerLimits& o, PyObject* it) { o.cpu_time = optional_from<std::chrono::seconds>(it); }},
    {"address_space", [](WorkerLimits& o, PyObject* it) { o.address_space = optional_from<std::uint64_t>(it); }},
    {"open_files", [](WorkerLimits& o, PyObject* it) { o.open_files = optional_from<std::uint64_t>(it); }},
    {"network", [](WorkerLimits& o, PyObject* it) { o.network = bool_from(it); }},
    {"programs", [](WorkerLimits& o, PyObject* it) { o.programs = bool_from(it); }},
    {"user", [](WorkerLimits& o, PyObject* it) { o.user = text_from(it); }},
};

using PoolOptions = ProcessPoolOptions;

constexpr Option<PoolOptions> rows[] = {
    {"workers", [](PoolOptions& o, PyObject* it) { o.workers = number_from<unsigned>(it); }},
    {"initializer", [](PoolOptions& o, PyObject* it) { o.initializer = initializer_from(it); }},
    {"max_tasks_per_worker",
     [](PoolOptions& o, PyObject* it) { o.max_tasks_per_worker = number_from<std::uint64_t>(it); }},
    {"break_on_worker_death", [](PoolOptions& o, PyObject* it) { o.break_on_worker_death = bool_from(it); }},
    {"limits",
     [](PoolOptions& o, PyObject* it) {
       if (it != Py_None) worker_limits_table.read(it, o.limits);
     }},
    {"kept_descriptors",
     [](PoolOptions& o, PyObject* it) {
       o.close_descriptors = it != Py_None;
       if (!o.close_descriptors) return;
       check(PyTuple_Check(it) ? 0 : -1);
       for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(it); ++i)
         o.keep_descriptors.push_back(number_from<int>(PyTuple_GET_ITEM(it, i)));
     }},
};

}  // namespace

OptionTable<WorkerLimits> worker_limits_table{limits};
OptionTable<ProcessPoolOptions> pool_options_table{rows};

std::function<void()> initializer_from(PyObject* both) {
  if (both == Py_None) return {};
  PyObject *function = nullptr, *arguments = nullptr;
  check(PyArg_ParseTuple(both, "OO!", &function, &PyTuple_Type, &arguments) ? 0 : -1);
  return Initializer{function, arguments};
}

}  // namespace retinue::python
