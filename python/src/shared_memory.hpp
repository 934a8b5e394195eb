#pragma once

#include "python.hpp"

namespace retinue::python {

/// Memory that owner and workers see; see shared_memory.cpp.
extern PyTypeObject SharedMemoryType;

}  // namespace retinue::python
