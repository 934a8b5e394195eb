#include "pool_start.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

#include <retinue/process_pool.hpp>

#include "worker.hpp"

namespace retinue::python {
namespace {

Helper initializer_text{"retinue._remote", "text_of_initializer"};

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
    std::string text = "an exception that could not be told";
    try {
      const Object told = initializer_text(error.get());
      Py_ssize_t size = 0;
      if (const char* utf8 = PyUnicode_AsUTF8AndSize(told.get(), &size))
        text.assign(utf8, static_cast<std::size_t>(size));
    } catch (const PythonError&) {
      PyErr_Clear();
    }
    throw std::runtime_error(text);
  }
};

/// (arguments, descriptors)
detail::FreshProgram program_from(PyObject* both) {
  PyObject *arguments = nullptr, *descriptors = nullptr;
  check(PyArg_ParseTuple(both, "O!O!", &PyList_Type, &arguments, &PyList_Type, &descriptors) ? 0 : -1);
  detail::FreshProgram program;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(arguments); ++i) {
    const char* word = PyUnicode_AsUTF8(PyList_GET_ITEM(arguments, i));
    if (word == nullptr) throw PythonError{};
    program.arguments.emplace_back(word);
  }
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(descriptors); ++i) {
    const long fd = PyLong_AsLong(PyList_GET_ITEM(descriptors, i));
    if (fd == -1 && PyErr_Occurred() != nullptr) throw PythonError{};
    program.descriptors.push_back(static_cast<int>(fd));
  }
  return program;
}

template <class T>
std::optional<T> optional_from(PyObject* number) {
  if (number == Py_None) return std::nullopt;
  const unsigned long long value = PyLong_AsUnsignedLongLong(number);
  if (value == static_cast<unsigned long long>(-1) && PyErr_Occurred() != nullptr) throw PythonError{};
  return T(value);
}

/// (cpu_seconds, address_space, open_files, network, programs, user)
WorkerLimits limits_from(PyObject* tuple) {
  PyObject *cpu_seconds = nullptr, *address_space = nullptr, *open_files = nullptr;
  int network = 1, programs = 1;
  const char* user = nullptr;
  Py_ssize_t user_size = 0;
  const int parsed = PyArg_ParseTuple(tuple, "OOOpps#", &cpu_seconds, &address_space, &open_files, &network, &programs,
                                      &user, &user_size);
  check(parsed ? 0 : -1);
  WorkerLimits limits;
  limits.cpu_time = optional_from<std::chrono::seconds>(cpu_seconds);
  limits.address_space = optional_from<std::uint64_t>(address_space);
  limits.open_files = optional_from<std::uint64_t>(open_files);
  limits.network = network != 0;
  limits.programs = programs != 0;
  limits.user.assign(user, static_cast<std::size_t>(user_size));
  return limits;
}

}  // namespace

detail::Ref<detail::ProcessBackend> start_pool(PyObject* arguments, PyObject* names, PyObject*& scope,
                                               const bool& refused) {
  static const char* keywords[] = {"workers",    "scope",          "initializer", "initargs", "max_tasks",
                                   "max_memory", "break_on_death", "program",     "limits",   nullptr};
  unsigned workers = 0;
  PyObject *initializer = nullptr, *initargs = nullptr;
  unsigned long long max_tasks = 0, max_memory = 0;
  int break_on_death = 0;
  PyObject *program = nullptr, *limits = Py_None;
  if (!PyArg_ParseTupleAndKeywords(arguments, names, "IOOO!|KKpOO:_start_engine", const_cast<char**>(keywords),
                                   &workers, &scope, &initializer, &PyTuple_Type, &initargs, &max_tasks, &max_memory,
                                   &break_on_death, &program, &limits))
    throw PythonError{};
  look_up_for_workers();
  ProcessPoolOptions options;
  options.workers = workers;
  options.max_tasks_per_worker = max_tasks;
  options.max_memory_per_worker = max_memory;
  options.break_on_worker_death = break_on_death != 0;
  if (limits != Py_None) options.limits = limits_from(limits);
  if (initializer != Py_None) options.initializer = Initializer{initializer, initargs};
  const StartRefusal watched(refused);
  std::exception_ptr error;
  try {
    if (program == nullptr || program == Py_None) {
      detail::Ref<detail::ProcessBackend> core = detail::make_process_backend(options, kHooks);
      if (PyErr_Occurred() == nullptr) return core;
      const WithoutGil without;  // a signal, while it was forked
      core->terminate();
      throw Error("the start of the pool was interrupted");
    }
    const detail::FreshProgram fresh = program_from(program);
    const WithoutGil without;
    return detail::make_process_backend(options, kOwnerHooks, &fresh);
  } catch (...) {
    error = std::current_exception();
  }
  if (PyErr_Occurred() != nullptr) throw PythonError{};  // a signal, while the workers were waited for
  std::rethrow_exception(error);
}

PyObject* attach(PyObject*, PyObject* plan) noexcept {
  return guarded([plan]() -> PyObject* {
    const char* told = PyUnicode_AsUTF8(plan);
    if (told == nullptr) return nullptr;
    detail::attach_as_told(told);
    return Py_NewRef(Py_None);
  });
}

PyObject* serve(PyObject*, PyObject* arguments) noexcept {
  return guarded([&]() -> PyObject* {
    PyObject *initializer = nullptr, *initargs = nullptr;
    if (!PyArg_ParseTuple(arguments, "OO!:_serve", &initializer, &PyTuple_Type, &initargs)) return nullptr;
    std::function<void()> call;
    if (initializer != Py_None) call = Initializer{Py_NewRef(initializer), Py_NewRef(initargs)};
    PyOS_BeforeFork();  // workers run what comes after it; this process runs no Python any more
    detail::serve_as_told(kHooks, std::move(call));
  });
}

}  // namespace retinue::python
