// A call that ends with an error, in place of one whose arguments cannot be sent.
#pragma once

#include <retinue/error.hpp>

#include "tasks/calls.hpp"

namespace retinue::python {

// Gives `stage` a payload that ends its task with this error; a small one if there is no memory for that.
template <class Stage>
void with_failing_call(PyObject* error, Reach reach, Stage&& stage) {
  try {
    Encoder encoder(nullptr, reach);
    write_raise(encoder, error);
    return stage(encoder);
  } catch (const ResourceExhausted&) {
    // Not even for that is there memory. What follows needs none.
  }
  Encoder encoder(nullptr, reach);
  encoder.number(FunctionKind::raise);
  const Object description = check(Py_BuildValue(
      "(OsOs)", Py_None, "retinue.ResourceExhausted",
      check(PyUnicode_FromFormat("no shared memory for this task, which failed: %.40s", Py_TYPE(error)->tp_name)).get(),
      ""));
  encoder.value(description.get());
  stage(encoder);
}

}  // namespace retinue::python
