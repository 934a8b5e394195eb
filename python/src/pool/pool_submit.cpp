// Tasks that are handed to a pool one by one.
#include <utility>
#include <vector>

#include <retinue/process_pool.hpp>

#include "pool/pool_object.hpp"
#include "tasks/future.hpp"
#include "tasks/held_until_done.hpp"
#include "tasks/run_call.hpp"
#include "tasks/task_options.hpp"

namespace retinue::python {
namespace {

Object submit_call(PyObject* self, const TaskOptions& options, PyObject* const* arguments, std::size_t count,
                   PyObject* names) {
  if (count == 0) {
    PyErr_SetString(PyExc_TypeError, "submit() needs a function as its first argument");
    throw PythonError{};
  }
  const detail::Ref<detail::ProcessBackend> core = started_core_of(self);
  Pool& pool = pool_of(self);
  if (pool.maps.has_dropped()) pool.maps.sweep();
  FunctionRef function;
  detail::StagedPayload payload;
  Object kept;
  bool to_the_end = false;
  try {
    const bool again = options.retries.value_or(0) != 0;
    Encoder encoder(pool.scope.get(), core->reach(), nullptr, again);
    function = pool.functions.for_submit(arguments[0], pool.scope.get(), core->reach(), again);
    function->write(encoder);
    write_arguments(encoder, arguments + 1, count - 1, names);
    const std::size_t size = encoder.size();
    encoder.write_to(payload.room(size));
    kept = encoder.kept();
    to_the_end = encoder.kept_to_the_end() || function->kept_to_the_end();
  } catch (const PythonError&) {
    if (!concerns_value()) throw;
    Object error = take_error();
    if (error) PyException_SetTraceback(error.get(), Py_None);  // its frames hold the arguments
    core->check_open();
    return make_failed_future(std::move(error));
  }
  detail::Ref<detail::EncodedCompletion> task = core->submit(call_entry(), payload, options);
  if (to_the_end) {
    std::vector<Object> all;
    all.push_back(std::exchange(kept, Object()));
    task->on_done([held = std::make_shared<HeldUntilDone>(function, std::move(all))]() mutable { held.reset(); });
  }
  return make_future(std::move(task), std::move(function), std::move(kept), !to_the_end);
}

}  // namespace

PyObject* submit(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    return submit_call(self, TaskOptions{}, arguments, static_cast<std::size_t>(count), names).release();
  });
}

PyObject* submit_with(PyObject* self, PyObject* const* arguments, Py_ssize_t count, PyObject* names) noexcept {
  return guarded([&]() -> PyObject* {
    if (count < 1) {
      PyErr_SetString(PyExc_TypeError, "_submit_with() needs options");
      return nullptr;
    }
    const TaskOptions& options = task_options_of(arguments[0]);
    return submit_call(self, options, arguments + 1, static_cast<std::size_t>(count - 1), names).release();
  });
}

}  // namespace retinue::python
