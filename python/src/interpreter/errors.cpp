// C++ exceptions as Python ones.
#include "interpreter/helpers.hpp"
#include "interpreter/python.hpp"

#include <new>
#include <optional>
#include <string>

#include <retinue/error.hpp>

namespace retinue::python {
namespace {

/// What a C++ exception says, read while it is caught; the Python one is made afterwards. CPython may end a thread in any of
/// its calls, and such an unwinding cannot be caught while another exception is.
struct ErrorSummary {
  enum class Kind { python, memory, named, worker_died } kind = Kind::named;
  const char* name = "Error";
  std::string what;
  int error_number = 0;
  std::optional<WorkerDied> death;
};

ErrorSummary summarize(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PythonError&) {
    return {.kind = ErrorSummary::Kind::python};
  } catch (const WorkerDied& e) {
    return {.kind = ErrorSummary::Kind::worker_died, .what = e.what(), .death = e};
  } catch (const TaskTimeout& e) {
    return {.name = "TaskTimeout", .what = e.what()};
  } catch (const Cancelled& e) {
    return {.name = "Cancelled", .what = e.what()};
  } catch (const PoolClosed& e) {
    return {.name = "PoolClosed", .what = e.what()};
  } catch (const ResourceExhausted& e) {
    return {.name = "ResourceExhausted", .what = e.what(), .error_number = e.error_number()};
  } catch (const MemoryOverwritten& e) {
    return {.name = "MemoryOverwritten", .what = e.what()};
  } catch (const std::bad_alloc&) {
    return {.kind = ErrorSummary::Kind::memory};
  } catch (const std::exception& e) {
    return {.what = e.what()};
  } catch (...) {
    return {.what = "an unknown C++ exception"};
  }
}

Object text(const std::string& s) {
  return check(PyUnicode_DecodeUTF8(s.data(), static_cast<Py_ssize_t>(s.size()), "replace"));
}

Object object_of(const ErrorSummary& summary) {
  switch (summary.kind) {
    case ErrorSummary::Kind::python: return take_error();
    case ErrorSummary::Kind::memory: return Object::borrowed(PyExc_MemoryError);
    case ErrorSummary::Kind::worker_died: {
      const WorkerDied& e = *summary.death;
      const Object signal = check(PyLong_FromLong(e.signal())), code = check(PyLong_FromLong(e.exit_code())),
                   pid = check(PyLong_FromLong(e.worker_pid())),
                   index = check(PyLong_FromUnsignedLongLong(e.task_index()));
      return helpers::make_worker_died(text(summary.what).get(), signal.get(), code.get(), pid.get(), index.get(),
                                       text(e.stack()).get());
    }
    case ErrorSummary::Kind::named: break;
  }
  const Object class_name = check(PyUnicode_FromString(summary.name));
  const Object number = check(PyLong_FromLong(summary.error_number));
  return helpers::make_error(class_name.get(), text(summary.what).get(), number.get());
}

}  // namespace

Object take_error() {
  PyObject *type = nullptr, *value = nullptr, *traceback = nullptr;
  PyErr_Fetch(&type, &value, &traceback);
  PyErr_NormalizeException(&type, &value, &traceback);
  if (traceback != nullptr && value != nullptr) PyException_SetTraceback(value, traceback);
  Py_XDECREF(type);
  Py_XDECREF(traceback);
  return Object(value);
}

Object error_object(const std::exception_ptr& error) noexcept {
  try {
    const ErrorSummary summary = summarize(error);
    if (summary.kind != ErrorSummary::Kind::python) PyErr_Clear();  // what was set before is what this one came of
    return object_of(summary);
  } catch (const abi::__forced_unwind&) {
    stay_for_good();
  } catch (const PythonError&) {  // making the exception failed
  } catch (...) {
    PyErr_NoMemory();
  }
  return take_error();
}

void set_error(const std::exception_ptr& error) noexcept {
  const Object object = error_object(error);
  if (!object) {
    PyErr_SetString(PyExc_RuntimeError, "retinue: an error could not be reported");
  } else if (PyType_Check(object.get())) {
    PyErr_SetNone(object.get());
  } else {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(object.get())), object.get());
  }
}

}  // namespace retinue::python
