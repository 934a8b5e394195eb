#include "interpreter/waiting.hpp"

#include <cmath>

namespace retinue::python {

Deadline deadline_from(PyObject* timeout) {
  if (timeout == nullptr || timeout == Py_None) return std::nullopt;
  const double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1.0 && PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) != 0)
      PyErr_Format(PyExc_TypeError, "timeout must be a number of seconds or None, not %R", timeout);
    throw PythonError{};
  }
  if (std::isnan(seconds)) {
    PyErr_SetString(PyExc_ValueError, "timeout must be a number of seconds or None, not nan");
    throw PythonError{};
  }
  if (!(seconds > 0)) return Clock::time_point::min();
  return detail::deadline_after(std::chrono::duration<double>(seconds));
}

bool is_over(const Deadline& deadline) noexcept { return deadline && Clock::now() >= *deadline; }

}  // namespace retinue::python
