// Numbers, booleans and None as tagged values: what most tiny tasks are given and give. The bytes are those of an Encoder,
// which writes these by the same function; here without its state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/value_tag.hpp"
#include "interpreter/python.hpp"

namespace retinue::python {

/// The bytes that one of them takes at most.
constexpr std::size_t kMaxScalar = 9;

/// Writes `object` to `room`, of kMaxScalar bytes, and gives how many it took; 0 if it is none of them, or an int of more
/// than 64 bits.
inline std::size_t write_scalar(PyObject* object, std::byte* room) noexcept {
  const auto write = [room](ValueTag tag, auto... value) {
    std::memcpy(room, &tag, sizeof tag);
    (std::memcpy(room + sizeof tag, &value, sizeof value), ...);
    return sizeof tag + (std::size_t{0} + ... + sizeof value);
  };
  const PyTypeObject* const type = Py_TYPE(object);
  if (type == &PyLong_Type) {
    int overflow = 0;
    const long long n = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0) return 0;
    if (n >= -128 && n < 128) return write(ValueTag::small_int, static_cast<std::int8_t>(n));
    return write(ValueTag::integer, std::int64_t{n});
  }
  if (type == &PyFloat_Type) return write(ValueTag::real, PyFloat_AS_DOUBLE(object));
  if (object == Py_None) return write(ValueTag::none);
  if (object == Py_True) return write(ValueTag::yes);
  if (object == Py_False) return write(ValueTag::no);
  return 0;
}

/// The object, if `size` bytes are one of them and nothing else; else null. Throws PythonError where there is no memory.
inline Object read_scalar(const std::byte* bytes, std::size_t size) {
  const auto number = [bytes](auto value) {
    std::memcpy(&value, bytes + sizeof(ValueTag), sizeof value);
    return value;
  };
  if (size == 0) return Object();
  switch (static_cast<ValueTag>(bytes[0])) {
    case ValueTag::integer: return size == 9 ? check(PyLong_FromLongLong(number(std::int64_t{}))) : Object();
    case ValueTag::small_int: return size == 2 ? check(PyLong_FromLong(number(std::int8_t{}))) : Object();
    case ValueTag::real: return size == 9 ? check(PyFloat_FromDouble(number(double{}))) : Object();
    case ValueTag::none: return size == 1 ? Object::borrowed(Py_None) : Object();
    case ValueTag::yes: return size == 1 ? Object::borrowed(Py_True) : Object();
    case ValueTag::no: return size == 1 ? Object::borrowed(Py_False) : Object();
    default: return Object();
  }
}

}  // namespace retinue::python
