// What decoding may ask for: a short payload that claims to be a long one must not get the memory.
#pragma once

#include <cstddef>

namespace retinue_fuzz {

/// While it lives, this thread may ask operator new for so many bytes in all; more aborts the program.
class MemoryLimit {
 public:
  explicit MemoryLimit(std::size_t bytes) noexcept;
  MemoryLimit(const MemoryLimit&) = delete;
  MemoryLimit& operator=(const MemoryLimit&) = delete;
  ~MemoryLimit();
};

}  // namespace retinue_fuzz
