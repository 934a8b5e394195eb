// How a pool's processes are started, from Python's words for it.
#pragma once

#include <retinue/detail/processes/process_backend.hpp>

#include "python.hpp"

namespace retinue::python {

/// The arguments of `_start_engine`: workers, scope, initializer, initargs and the rest. Gives the pool; `scope`, borrowed
/// from them, tells what workers will have. Gives up once `refused`, which is looked at with the GIL held. Throws PythonError
/// or what the engine throws.
detail::Ref<detail::ProcessBackend> start_pool(PyObject* arguments, PyObject* names, PyObject*& scope,
                                               const bool& refused);

/// (plan): this process, started anew, gets the memory of the pool whose fork server it will be.
PyObject* attach(PyObject*, PyObject* plan) noexcept;
/// (initializer or None, initargs): it becomes that fork server. Never returns but with an error.
PyObject* serve(PyObject*, PyObject* arguments) noexcept;

}  // namespace retinue::python
