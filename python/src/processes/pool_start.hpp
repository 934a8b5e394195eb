// How a pool's processes are started.
#pragma once

#include <retinue/detail/processes/process_backend.hpp>

#include "interpreter/python.hpp"

namespace retinue::python {

/// `options`: a PoolOptions; `program`: (arguments, descriptors, plan's file or -1) of a fresh interpreter that makes the workers, or
/// None, then they are forked from this process. Gives up once `refused`, which is looked at with the GIL held. Throws PythonError or what
/// the engine throws.
detail::Ref<detail::ProcessBackend> start_pool(PyObject* options, PyObject* program, const bool& refused);

/// (plan): this process, started anew, gets the memory of the pool whose fork server it will be.
PyObject* attach(PyObject*, PyObject* plan) noexcept;
/// ((initializer, its arguments) or None): it becomes that fork server. Never returns but with an error.
PyObject* serve(PyObject*, PyObject* initializer) noexcept;

}  // namespace retinue::python
