// What the tasks of one map have in common: large contents that several of them are given are stored once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <retinue/detail/pool/process_tasks.hpp>
#include <retinue/shared_array.hpp>

#include "python.hpp"

namespace retinue::python {

/// Blocks of shared memory that hold contents of arguments, found again by where these lie in this process. With the GIL
/// held; of one map.
///
/// A content that lies where an earlier one lay is taken for the same if the inputs are ready made, as those of a list are,
/// their types run no code when they are pickled, and the object that owns it was kept, so nobody else has got its memory:
/// then only what the program does between two results could have changed it, and tasks see it as it was first. In all
/// other cases the bytes are compared, which is quicker than writing them.
class CommonBuffers {
 public:
  /// Smaller contents travel with each task.
  static constexpr std::size_t kSmallest = 64 * 1024;

  /// `quiet`: reading inputs runs no code of the program's.
  explicit CommonBuffers(bool quiet) noexcept : quiet_(quiet) {}

  /// The next contents are those of these arguments.
  void begin_task(PyObject* const* arguments, std::size_t count) noexcept;
  /// The address of a block with these bytes, which belong to `owner`. Throws ResourceExhausted.
  std::uint64_t place(const void* data, std::size_t size, PyObject* owner);
  /// How much was placed for this task; and takes back what was placed since.
  std::size_t placed() const noexcept { return task_.size(); }
  void take_back(std::size_t placed) { task_.resize(placed); }
  /// What the task must keep, and how many bytes of it are new.
  std::pair<detail::KeptMemory, std::size_t> end_task();
  /// Lets go of what only a later task may have again; false if there is none.
  bool forget_last() noexcept { return !std::exchange(last_, {}).empty(); }
  void clear() noexcept;

 private:
  static constexpr std::size_t kMost = 64;
  struct Entry {
    const void* data;
    std::size_t size;
    Object owner;  // null if the next content there must be compared
    std::weak_ptr<const detail::SharedMemory> block;
  };
  bool runs_no_code() const noexcept;

  bool quiet_;
  PyObject* const* arguments_ = nullptr;
  std::size_t count_ = 0;
  std::vector<Entry> entries_;
  detail::KeptMemory task_;  // of the task at hand
  detail::KeptMemory last_;  // of the one before: the next is likely to have the same
  std::size_t new_bytes_ = 0;
};

}  // namespace retinue::python
