#include "processes/pool_start.hpp"

#include <functional>

#include <retinue/process_pool.hpp>

#include "processes/pool_options.hpp"
#include "processes/interpreter_hooks.hpp"

namespace retinue::python {
namespace {

/// (arguments, descriptors, the descriptor of the file that the plan is written to, or -1)
detail::FreshProgram program_from(PyObject* given) {
  PyObject *arguments = nullptr, *descriptors = nullptr;
  detail::FreshProgram program;
  check(PyArg_ParseTuple(given, "O!O!i", &PyList_Type, &arguments, &PyList_Type, &descriptors, &program.plan_file)
            ? 0
            : -1);
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

}  // namespace

detail::Ref<detail::ProcessBackend> start_pool(PyObject* given, PyObject* program, const bool& refused) {
  ProcessPoolOptions options;
  pool_options_table.read(given, options);
  const StartRefusal watched(refused);
  std::exception_ptr error;
  try {
    if (program == Py_None) {
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
    const char* text = PyUnicode_AsUTF8(plan);
    if (text == nullptr) return nullptr;
    detail::attach_to_owner(text);
    return Py_NewRef(Py_None);
  });
}

PyObject* serve(PyObject*, PyObject* initializer) noexcept {
  return guarded([&]() -> PyObject* {
    std::function<void()> call = initializer_from(Py_NewRef(initializer));  // it is kept for good
    PyOS_BeforeFork();  // workers run what comes after it; this process runs no Python any more
    detail::serve_owner(kHooks, std::move(call));
  });
}

}  // namespace retinue::python
