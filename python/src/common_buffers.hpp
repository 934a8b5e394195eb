// What the tasks of one map have in common: large contents that several of them are given are stored once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "python.hpp"

namespace retinue::python {

/// Blocks of shared memory that hold contents of arguments, found again by where these lie in this process. With the GIL
/// held; of one map.
///
/// A content that lies where an earlier one lay is the same if it could not be changed in between: the object that owns
/// it is kept, so nobody else has got its memory, and no code of the caller ran while inputs were read. Where such code
/// did run, for inputs that a generator makes, the bytes are compared, which is quicker than writing them.
class CommonBuffers {
 public:
  /// Smaller contents travel with each task.
  static constexpr std::size_t kSmallest = 64 * 1024;

  /// `quiet`: reading inputs runs no code of the caller's.
  explicit CommonBuffers(bool quiet) noexcept : quiet_(quiet) {}

  /// The block with these bytes, which belong to `owner`: a SharedMemory that the task must keep. Borrowed, good until
  /// the next call of anything here. Throws ResourceExhausted, PythonError.
  PyObject* place(const void* data, std::size_t size, PyObject* owner);
  static std::uint64_t address_of(PyObject* block) noexcept;
  /// All contents of a task were placed: blocks that it does not have live on only as long as other tasks need them.
  void end_task();
  /// Bytes of new blocks since the last call.
  std::size_t take_placed() noexcept { return std::exchange(placed_, 0); }
  void clear() noexcept { entries_.clear(); }

 private:
  static constexpr std::size_t kMost = 64;
  struct Entry {
    const void* data;
    std::size_t size;
    Object owner;
    Object reference;  // to the block, weak
    Object block;      // of the last task only
    bool used;
  };

  bool quiet_;
  std::size_t placed_ = 0;
  std::vector<Entry> entries_;
};

}  // namespace retinue::python
