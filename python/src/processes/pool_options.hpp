// How a pool is made, from Python's words for it.
#pragma once

#include <functional>

#include <retinue/process_pool_options.hpp>

#include "interpreter/options.hpp"

namespace retinue::python {

/// retinue._internal.options.PoolOptions, and retinue.WorkerLimits, of which the values cross.
extern OptionTable<ProcessPoolOptions> pool_options_table;
extern OptionTable<WorkerLimits> worker_limits_table;

/// (function, arguments) or None. What it gives is called in workers, which have inherited both with the fork; here they
/// must live until then. Throws PythonError.
std::function<void()> initializer_from(PyObject* both);

}  // namespace retinue::python
