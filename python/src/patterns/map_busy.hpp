// Who touches a map's window, and no second one.
#pragma once

#include "patterns/map.hpp"

namespace retinue::python {

class MapTasks::Busy {
 public:
  explicit Busy(MapTasks& tasks) : tasks_(tasks) {
    if (tasks.busy_) {
      PyErr_SetString(PyExc_ValueError, "this map is being read already, by another thread or by its own inputs");
      throw PythonError{};
    }
    tasks.busy_ = true;
  }
  ~Busy() { tasks_.busy_ = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  MapTasks& tasks_;
};

}  // namespace retinue::python
