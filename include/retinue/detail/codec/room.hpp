// Where a payload is written to.
#pragma once

#include <cstddef>

namespace retinue::detail {

/// Makes the memory of a payload while that is written, from its beginning to its end. For one thread.
class MemoryMaker {
 public:
  /// Puts n bytes to `at`, where the last call has ended or memory was there from the beginning; zeros if `from` is null.
  /// Gives the end of the memory that is there now, `at + n` at least. Throws ResourceExhausted.
  virtual std::byte* append(std::byte* at, const void* from, std::size_t n) = 0;
  /// Nothing more is to come. Throws ResourceExhausted.
  virtual void finish() = 0;

 protected:
  ~MemoryMaker() = default;
};

/// Memory for a payload, aligned to kPayloadAlignment: what lies before `ready` may be written to, the rest is yet to be made.
struct Room {
  std::byte* begin;
  std::byte* ready;
  MemoryMaker* maker;  ///< null if all of it is ready
};

}  // namespace retinue::detail
