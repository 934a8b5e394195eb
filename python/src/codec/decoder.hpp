// The bytes of a payload as Python values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>

#include "codec/encoder.hpp"

namespace retinue::detail {
class TaskContext;
}

namespace retinue::python {

/// Whose payload it is, and so what its large contents may become.
struct Origin {
  enum Kind { argument, result } kind = result;
  /// Holds the bytes of a result; if null they are copied. An argument's are held by its task.
  std::shared_ptr<const void> source = nullptr;
  /// The task whose argument it is: set before Python code runs, for that may be an import.
  detail::TaskContext* task = nullptr;
};

/// Reads one payload that an Encoder wrote. What it makes owns its contents, or shares them with others that do so; views
/// of arguments must be completed before the task ends (complete_borrowed). Every read is checked against the
/// payload's end: throws CodecError for damaged bytes, PythonError where Python code failed.
class Decoder {
 public:
  explicit Decoder(std::span<const std::byte> payload, Origin origin = {});

  template <class T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  /// `n` bytes of the head.
  const std::byte* take(std::size_t n) {
    if (n > head_end_ - at_) [[unlikely]]
      damaged();
    const std::byte* p = payload_.data() + at_;
    at_ += n;
    return p;
  }
  Object value() { return value(0); }

 private:
  [[noreturn, gnu::cold]] static void damaged();
  struct Packed;
  Object value(int depth);
  Packed packed();
  Object buffer();
  Object shared_array();
  const void* elsewhere();
  Object loads(const void* bytes, std::size_t n, PyObject* buffers);
  const std::byte* outside(std::size_t n);

  std::span<const std::byte> payload_;
  Origin origin_;
  std::size_t at_ = sizeof(std::uint32_t);
  std::size_t head_end_;
  std::size_t outside_at_;
};

}  // namespace retinue::python
