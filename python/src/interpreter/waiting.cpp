#include "interpreter/waiting.hpp"

namespace retinue::python {

Deadline deadline_from(PyObject* timeout) {
  if (timeout == nullptr || timeout == Py_None) return std::nullopt;
  const double seconds = PyFloat_AsDouble(timeout);
  if (seconds == -1.0 && PyErr_Occurred()) throw PythonError{};
  if (!(seconds > 0)) return Clock::time_point::min();
  return detail::deadline_after(std::chrono::duration<double>(seconds));
}

bool is_over(const Deadline& deadline) noexcept { return deadline && Clock::now() >= *deadline; }

}  // namespace retinue::python
