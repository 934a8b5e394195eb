// Shared arrays and shared values in payloads: they travel by name, without pickle.
//
//     ArrayName:  u64 address, u64 bytes of the memory | u64 offset | u8 dimensions, u8 x 2 format | (u64 extent, i64 stride) ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "interpreter/python.hpp"

namespace retinue::python {

/// What stands for such an object in a payload.
struct SharedName {
  static constexpr int kMaxDimensions = 8;
  static constexpr std::size_t kHead = 3 * 8 + 3, kDimension = 2 * 8;
  static constexpr std::size_t kMax = kHead + kMaxDimensions * kDimension;
  bool is_array = false;
  std::size_t size = 0;
  char bytes[kMax];
  Object holder;  ///< holds the memory
};

/// True for the types that `name_shared` may be able to name.
bool is_shared(const PyTypeObject* type) noexcept;
/// False if it needs pickle: an array of unusual type or shape, or whose memory is not known here, or not to the workers,
/// whose `scope` says whether they inherit what this process sees. Throws PythonError.
bool name_shared(PyObject* object, PyObject* scope, SharedName& name);
/// How many bytes follow the first kHead of an array's name. Throws CodecError.
std::size_t rest_of_array_name(const std::byte* head);
/// The array of a whole name, in a worker. Throws PythonError.
Object attach_shared_array(std::span<const std::byte> name);
/// Likewise the value that `share` gave this number, at an address of shared memory.
Object load_shared_value(std::uint64_t number, std::uint64_t address, std::uint64_t size);

}  // namespace retinue::python
