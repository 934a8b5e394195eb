// C++ exceptions as Python ones.
#include "python.hpp"

#include <new>
#include <string>

#include <retinue/error.hpp>

namespace retinue::python {
namespace {

Helper make_worker_died{"retinue._errors", "make_worker_died"};
Helper make_error{"retinue._errors", "make_error"};

Object text(const std::string& s) {
  return check(PyUnicode_DecodeUTF8(s.data(), static_cast<Py_ssize_t>(s.size()), "replace"));
}

Object made(const char* name, const std::string& what, int error_number = 0) {
  const Object class_name = check(PyUnicode_FromString(name));
  const Object number = check(PyLong_FromLong(error_number));
  return make_error(class_name.get(), text(what).get(), number.get());
}

Object worker_died(const WorkerDied& e) {
  const Object signal = check(PyLong_FromLong(e.signal())), code = check(PyLong_FromLong(e.exit_code())),
               pid = check(PyLong_FromLong(e.worker_pid())),
               index = check(PyLong_FromUnsignedLongLong(e.task_index()));
  return make_worker_died(text(e.what()).get(), signal.get(), code.get(), pid.get(), index.get(), text(e.stack()).get());
}

Object object_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PythonError&) {
    return take_error();
  } catch (const WorkerDied& e) {
    return worker_died(e);
  } catch (const TaskTimeout& e) {
    return made("TaskTimeout", e.what());
  } catch (const Cancelled& e) {
    return made("Cancelled", e.what());
  } catch (const PoolClosed& e) {
    return made("PoolClosed", e.what());
  } catch (const ResourceExhausted& e) {
    return made("ResourceExhausted", e.what(), e.error_number());
  } catch (const std::bad_alloc&) {
    return Object::borrowed(PyExc_MemoryError);
  } catch (const std::exception& e) {
    return made("Error", e.what());
  } catch (...) {
    return made("Error", "an unknown C++ exception");
  }
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
    return object_of(error);
  } catch (...) {  // making the exception failed: with another one
    return take_error();
  }
}

void set_error_from_current() noexcept {
  try {
    throw;
  } catch (const PythonError&) {
    return;
  } catch (...) {
    const Object error = error_object(std::current_exception());
    if (!error) {
      PyErr_SetString(PyExc_RuntimeError, "retinue: an error could not be told");
    } else if (PyType_Check(error.get())) {
      PyErr_SetNone(error.get());
    } else {
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
    }
  }
}

PyObject* Helper::get() {
  if (function_ == nullptr) {
    const Object module = check(PyImport_ImportModule(module_));
    function_ = check(PyObject_GetAttrString(module.get(), name_)).release();
  }
  return function_;
}

}  // namespace retinue::python
