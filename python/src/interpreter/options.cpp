#include "interpreter/options.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace retinue::python {

OptionPlaces find_places(PyObject* cls, std::span<const char* const> names) {
  const Object fields = check(PyObject_GetAttrString(cls, "_fields"));
  if (!PyTuple_CheckExact(fields.get())) {
    PyErr_Format(PyExc_ImportError, "retinue._engine: %R has fields that are no tuple", cls);
    throw PythonError{};
  }
  OptionPlaces places{};
  std::string missing, unknown;
  std::vector<bool> found(names.size());
  for (Py_ssize_t place = 0; place < PyTuple_GET_SIZE(fields.get()); ++place) {
    const char* field = PyUnicode_AsUTF8(PyTuple_GET_ITEM(fields.get(), place));
    if (field == nullptr) throw PythonError{};
    std::size_t i = 0;
    while (i < names.size() && std::string_view(names[i]) != field) ++i;
    if (i == names.size() || found[i]) {
      unknown.append(" ").append(field);
      continue;
    }
    found[i] = true;
    places[i] = static_cast<std::uint8_t>(place);
  }
  for (std::size_t i = 0; i < names.size(); ++i)
    if (!found[i]) missing.append(" ").append(names[i]);
  if (missing.empty() && unknown.empty()) return places;
  PyErr_Format(PyExc_ImportError,
               "retinue._engine does not fit %R. Fields that this lacks:%s. Fields that are not known:%s", cls,
               missing.empty() ? " none" : missing.c_str(), unknown.empty() ? " none" : unknown.c_str());
  throw PythonError{};
}

void require_fields(PyObject* options, std::size_t count) {
  if (count != 0 && PyTuple_Check(options) && PyTuple_GET_SIZE(options) == static_cast<Py_ssize_t>(count)) return;
  PyErr_Format(PyExc_TypeError, "retinue._engine: these are no options of a registered class: %R", options);
  throw PythonError{};
}

bool bool_from(PyObject* value) {
  const int is = PyObject_IsTrue(value);
  check(is);
  return is != 0;
}

std::uint64_t unsigned_from(PyObject* value, std::uint64_t largest) {
  int overflow = 0;
  const long long n = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (n == -1 && PyErr_Occurred() != nullptr) throw PythonError{};
  if (overflow < 0 || (overflow == 0 && n < 0)) {
    PyErr_Format(PyExc_ValueError, "%R is negative", value);
    throw PythonError{};
  }
  return overflow > 0 ? largest : std::min(static_cast<std::uint64_t>(n), largest);
}

}  // namespace retinue::python
