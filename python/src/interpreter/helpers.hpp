// What this module uses of the Python package: functions and classes that are handed to it by name when their modules are
// imported. registration.cpp has the one list of them.
#pragma once

#include "interpreter/python.hpp"

namespace retinue::python {

/// One of them. Constant from its registration to the end of the process. With the GIL held.
class Helper {
 public:
  constexpr Helper() noexcept = default;
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  /// Null before it is registered.
  PyObject* get() const noexcept { return it_; }
  void set(PyObject* it) noexcept { Py_XSETREF(it_, Py_NewRef(it)); }
  /// Throws PythonError: what it raises, or RuntimeError if it is not registered.
  template <class... A>
  Object operator()(A*... arguments) const {
    if (it_ == nullptr) throw_not_registered();
    return check(in_python([&] { return PyObject_CallFunctionObjArgs(it_, arguments..., nullptr); }));
  }

 private:
  [[noreturn]] static void throw_not_registered();

  PyObject* it_ = nullptr;
};

namespace helpers {

// Registered by `import retinue`.
extern Helper make_error, make_worker_died;

// By the import of what makes pools.
extern Helper dumps, loads, function_bytes, load_function, split_partial;
extern Helper describe_error, rebuild_error, note_item, text_of_initializer;
extern Helper release_deleted;
extern Helper future_class, make_condition, notify_waiters, notify_in_thread, run_callback;
extern Helper run_worker, idle_worker, freeze_garbage;
extern Helper repeat_class, count_class;  ///< itertools'
extern Helper timeout_class;              ///< multiprocessing.TimeoutError
extern Helper import_arrays;              ///< so that what follows is registered

// By the import of shared arrays, and with them of NumPy.
extern Helper shared_array_class, shared_value_class, attach_array, load_shared;

}  // namespace helpers

}  // namespace retinue::python
