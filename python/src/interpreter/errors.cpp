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
struct Told {
  enum class Kind { python, memory, named, worker_died } kind = Kind::named;
  const char* name = "Error";
  std::string what;
  int error_number = 0;
  std::optional<WorkerDied> death;
};

Told tell(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PythonError&) {
    return {.kind = Told::Kind::python};
  } catch (const WorkerDied& e) {
    return {.kind = Told::Kind::worker_died, .what = e.what(), .death = e};
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
    return {.kind = Told::Kind::memory};
  } catch (const std::exception& e) {
    return {.what = e.what()};
  } catch (...) {
    return {.what = "an unknown C++ exception"};
  }
}

Object text(const std::string& s) {
  return check(PyUnicode_DecodeUTF8(s.data(), static_cast<Py_ssize_t>(s.size()), "replace"));
}

Object object_of(const Told& told) {
  switch (told.kind) {
    case Told::Kind::python: return take_error();
    case Told::Kind::memory: return Object::borrowed(PyExc_MemoryError);
    case Told::Kind::worker_died: {
      const WorkerDied& e = *told.death;
      const Object signal = check(PyLong_FromLong(e.signal())), code = check(PyLong_FromLong(e.exit_code())),
                   pid = check(PyLong_FromLong(e.worker_pid())),
                   index = check(PyLong_FromUnsignedLongLong(e.task_index()));
      return helpers::make_worker_died(text(told.what).get(), signal.get(), code.get(), pid.get(), index.get(),
                                       text(e.stack()).get());
    }
    case Told::Kind::named: break;
  }
  const Object class_name = check(PyUnicode_FromString(told.name));
  const Object number = check(PyLong_FromLong(told.error_number));
  return helpers::make_error(class_name.get(), text(told.what).get(), number.get());
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
    const Told told = tell(error);
    if (told.kind != Told::Kind::python) PyErr_Clear();  // what was set before is what this one came of
    return object_of(told);
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
    PyErr_SetString(PyExc_RuntimeError, "retinue: an error could not be told");
  } else if (PyType_Check(object.get())) {
    PyErr_SetNone(object.get());
  } else {
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(object.get())), object.get());
  }
}

}  // namespace retinue::python
