// Shared arrays and shared values in payloads: they travel by name, without pickle.
//
//     ArrayName:  u64 address, u64 bytes of the memory | u64 offset | u8 dimensions, u8 x 2 format | (u64 extent, i64 stride) ...
#pragma once

#include <cstddef>

#include "codec/decoder.hpp"
#include "interpreter/python.hpp"

namespace retinue::python {

/// What stands for such an object in a payload.
struct SharedName {
  static constexpr int kMostDimensions = 8;
  static constexpr std::size_t kMost = 3 * 8 + 3 + kMostDimensions * 16;
  bool is_array = false;
  std::size_t size = 0;
  char bytes[kMost];
  Object keeper;  ///< holds the memory
};

/// True for the types that `name_shared` may be able to name.
bool is_shared(const PyTypeObject* type) noexcept;
/// False if it needs pickle: an array of unusual type or shape, or whose memory is not known here, or not to the workers,
/// whose `scope` tells whether they inherit what this process sees. Throws PythonError.
bool name_shared(PyObject* object, PyObject* scope, SharedName& name);
/// The array or the value of a name, in a worker. Throws CodecError or PythonError.
Object attach_shared_array(Decoder& decoder);
Object load_shared_value(Decoder& decoder);

/// _set_shared_types(SharedArray, Shared)
PyObject* set_shared_types(PyObject*, PyObject* arguments) noexcept;

}  // namespace retinue::python
