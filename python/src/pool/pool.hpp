// A process pool as a Python object.
#pragma once

#include "interpreter/python.hpp"

namespace retinue::python {

/// The base of ProcessPoolExecutor; see pool.cpp.
extern PyTypeObject PoolType;

}  // namespace retinue::python
