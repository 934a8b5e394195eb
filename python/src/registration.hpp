// What the Python package hands to this module.
#pragma once

#include "interpreter/python.hpp"

namespace retinue::python {

/// _register(group, dict of functions and classes by name): all of one group, called by the module of the package whose
/// import gives them; see retinue/_internal/helpers.py. ImportError names what is missing, unknown, or not what it should
/// be; then no helper is registered.
PyObject* register_helpers(PyObject*, PyObject* arguments) noexcept;

}  // namespace retinue::python
