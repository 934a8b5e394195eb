#include "interpreter/helpers.hpp"

namespace retinue::python {

void Helper::throw_not_registered() {
  PyErr_SetString(PyExc_RuntimeError,
                  "retinue._engine is used without the Python package that belongs to it: import retinue.futures or "
                  "retinue.multiprocessing");
  throw PythonError{};
}

namespace helpers {

Helper make_error, make_worker_died;
Helper dumps, loads, function_bytes, load_function, split_partial;
Helper describe_error, rebuild_error, note_item, text_of_initializer;
Helper release_deleted;
Helper future_class, make_condition, notify_waiters, notify_in_thread, run_callback;
Helper run_worker, idle_worker, freeze_garbage;
Helper repeat_class, count_class, timeout_class;
Helper import_arrays;
Helper shared_array_class, shared_value_class, attach_array, load_shared;

}  // namespace helpers

}  // namespace retinue::python
