// The options of tasks, read once for all tasks that have them.
#pragma once

#include <retinue/task_options.hpp>

#include "interpreter/options.hpp"

namespace retinue::python {

/// What `_read_task_options` gives; immutable.
extern PyTypeObject TaskOptionsType;
/// retinue._internal.options.TaskOptions.
extern OptionTable<TaskOptions> task_options_table;

/// _read_task_options(options): as submits and maps want them.
PyObject* read_task_options(PyObject*, PyObject* options) noexcept;
/// What it gave. Throws PythonError for another object.
const TaskOptions& task_options_of(PyObject* object);

}  // namespace retinue::python
