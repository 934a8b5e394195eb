// Options as they cross from Python: one tuple with named fields, whose class is in retinue/_internal/options.py (or
// _limits.py), and one table here, a row for each field. An option is a member of a C++ struct, a row of its table, and a
// field of its Python class; registration refuses a class that does not fit its table.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "interpreter/python.hpp"

namespace retinue::python {

/// How a field of that name gets into a T.
template <class T>
struct Option {
  const char* name;
  /// May throw PythonError, or any other exception for a value that cannot be.
  void (*set)(T& options, PyObject* value);
};

constexpr std::size_t kMaxOptions = 16;
/// Where each of `names` stands among the `_fields` of a class.
using OptionPlaces = std::array<std::uint8_t, kMaxOptions>;

/// Throws PythonError: an ImportError that names the fields that only one side has.
OptionPlaces find_places(PyObject* cls, std::span<const char* const> names);
/// Throws PythonError unless it is a tuple of so many.
void require_fields(PyObject* options, std::size_t count);

/// The rows of one class. With the GIL held.
template <class T>
class OptionTable {
 public:
  template <std::size_t N>
  explicit constexpr OptionTable(const Option<T> (&rows)[N]) noexcept : rows_(rows) {
    static_assert(N <= kMaxOptions);
  }
  /// From now on options of this class can be read. Throws PythonError if its fields are not those of the rows.
  void match(PyObject* cls) {
    std::vector<const char*> names;
    for (const Option<T>& row : rows_) names.push_back(row.name);
    places_ = find_places(cls, names);
    matched_ = true;
  }
  /// Throws PythonError, or what a row throws.
  void read(PyObject* options, T& into) const {
    require_fields(options, matched_ ? rows_.size() : 0);
    for (std::size_t i = 0; i < rows_.size(); ++i) rows_[i].set(into, PyTuple_GET_ITEM(options, places_[i]));
  }

 private:
  std::span<const Option<T>> rows_;
  OptionPlaces places_{};
  bool matched_ = false;
};

/// The values of rows. They throw PythonError for what is not of their kind.
bool bool_from(PyObject* value);
/// What is too large is the largest there is.
std::uint64_t unsigned_from(PyObject* value, std::uint64_t largest);
template <class T>
T number_from(PyObject* value) {
  return static_cast<T>(unsigned_from(value, std::numeric_limits<T>::max()));
}

}  // namespace retinue::python
