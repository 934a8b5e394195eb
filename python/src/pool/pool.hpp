// A process pool as a Python object.
#pragma once

#include <memory>

#include "interpreter/python.hpp"

namespace retinue::python {

/// The base of ProcessPoolExecutor; see pool.cpp.
extern PyTypeObject PoolType;

/// A map's iterator goes: what its inputs still hold is handed in if nobody has begun to read it.
class MapTasks;
void map_is_dropped(PyObject* pool, const std::shared_ptr<MapTasks>& tasks);

}  // namespace retinue::python
