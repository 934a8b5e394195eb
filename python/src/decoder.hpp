// The bytes of a payload as Python values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "encoder.hpp"

namespace retinue::python {

/// Reads one payload that an Encoder wrote. What it makes owns its contents. Every read is checked against the
/// payload's end: throws CodecError for damaged bytes, PythonError where Python code failed.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> payload);

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  /// `n` bytes of the head.
  const std::byte* take(std::size_t n);
  Object value() { return value(0); }

 private:
  Object value(int depth);
  Object loads(const void* bytes, std::size_t n, PyObject* buffers);
  const std::byte* outside(std::size_t n);

  std::span<const std::byte> payload_;
  std::size_t at_ = sizeof(std::uint32_t);
  std::size_t head_end_;
  std::size_t outside_at_;
};

}  // namespace retinue::python
