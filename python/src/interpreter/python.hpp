// What every file of the extension module uses of the interpreter: owned references, errors, the GIL.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <cxxabi.h>
#include <exception>
#include <initializer_list>
#include <unistd.h>
#include <utility>

namespace retinue::python {

/// Thrown where a Python exception is set already: unwinds C++ frames up to the door.
struct PythonError {};

/// An owned reference, or null.
class Object {
 public:
  Object() = default;
  /// Adopts a new reference.
  explicit Object(PyObject* owned) noexcept : p_(owned) {}
  Object(const Object& o) noexcept : p_(o.p_) { Py_XINCREF(p_); }
  Object(Object&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  Object& operator=(Object o) noexcept {
    std::swap(p_, o.p_);
    return *this;
  }
  ~Object() { Py_XDECREF(p_); }

  /// One more reference to a borrowed one.
  static Object borrowed(PyObject* p) noexcept {
    Py_XINCREF(p);
    return Object(p);
  }
  PyObject* get() const noexcept { return p_; }
  [[nodiscard]] PyObject* release() noexcept { return std::exchange(p_, nullptr); }
  explicit operator bool() const noexcept { return p_ != nullptr; }

 private:
  PyObject* p_ = nullptr;
};

/// Adopts what a call of the C API gave; throws PythonError for null.
inline Object check(PyObject* result) {
  if (result == nullptr) throw PythonError{};
  return Object(result);
}
inline void check(int result) {
  if (result < 0) throw PythonError{};
}

/// Once the interpreter is ending, CPython answers a thread that wants the GIL by ending the thread, wherever in C++ it may
/// be called from. Its unwinding must not go through our frames, which would give up Python objects without the GIL: the
/// thread stays here, to the end of the process.
[[noreturn]] inline void stay_for_good() noexcept {
  for (;;) ::pause();
}

/// Calls what takes the GIL, or may release it and take it again: any code written in Python.
template <class F>
auto in_python(F&& f) noexcept -> decltype(f()) {
  try {
    return f();
  } catch (const abi::__forced_unwind&) {
    stay_for_good();
  }
}

/// Lets other threads run Python while it lives. The C++ code meanwhile touches no Python object.
class WithoutGil {
 public:
  WithoutGil() noexcept : state_(PyEval_SaveThread()) {}
  ~WithoutGil() {
    in_python([this] { PyEval_RestoreThread(state_); });
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  PyThreadState* state_;
};

/// For threads that Python did not start. Does what PyGILState_Ensure does, but for one thing: that puts a new thread
/// state into the interpreter's list without the GIL, under a lock that a child forked at that moment inherits locked,
/// and for which CPython 3.11 then waits for ever (PyOS_AfterFork_Child takes it before it makes it anew). Here no fork
/// comes in between.
class WithGil {
 public:
  WithGil() noexcept;
  ~WithGil();
  WithGil(const WithGil&) = delete;
  WithGil& operator=(const WithGil&) = delete;

 private:
  PyThreadState* made_ = nullptr;  // by this object, for a thread that had none
  PyGILState_STATE before_{};      // else
};

/// Puts the Python exception that is set aside, and back at the end.
class SavedError {
 public:
  SavedError() noexcept { PyErr_Fetch(&type_, &value_, &traceback_); }
  ~SavedError() { PyErr_Restore(type_, value_, traceback_); }
  SavedError(const SavedError&) = delete;
  SavedError& operator=(const SavedError&) = delete;

 private:
  PyObject *type_, *value_, *traceback_;
};

/// The exception that is set, as an object with its traceback, and no longer set.
Object take_error();

/// Runs `f`, which may throw; gives what it gives or, with a Python exception set, `failed`.
template <class F>
auto guarded(F&& f, decltype(f()) failed) noexcept -> decltype(f());

/// Sets the Python exception that stands for a C++ one. Not to be called while that is being handled, in a catch block.
void set_error(const std::exception_ptr& error) noexcept;
/// The same as an object.
Object error_object(const std::exception_ptr& error) noexcept;

template <class F>
auto guarded(F&& f, decltype(f()) failed) noexcept -> decltype(f()) {
  std::exception_ptr error;
  try {
    return f();
  } catch (const abi::__forced_unwind&) {
    stay_for_good();
  } catch (const PythonError&) {
    return failed;
  } catch (...) {
    error = std::current_exception();
  }
  set_error(error);
  return failed;
}
template <class F>
PyObject* guarded(F&& f) noexcept {
  return guarded(std::forward<F>(f), nullptr);
}

/// A name and a number of statistics.
struct Count {
  const char* name;
  std::uint64_t value;
};
/// Throws PythonError.
inline Object dict_of(std::initializer_list<Count> counts) {
  Object dict = check(PyDict_New());
  for (const Count& count : counts)
    check(PyDict_SetItemString(dict.get(), count.name, check(PyLong_FromUnsignedLongLong(count.value)).get()));
  return dict;
}

/// A function that takes more than PyCFunction does, as tables of methods want it.
template <class F>
PyCFunction method(F* f) noexcept {
  return reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(f));
}

}  // namespace retinue::python
