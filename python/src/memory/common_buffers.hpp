// What the tasks of one map have in common: large contents that several of them are given are stored once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <retinue/detail/processes/process_backend.hpp>
#include <retinue/shared_array.hpp>

#include "interpreter/python.hpp"

namespace retinue::python {

/// Blocks of shared memory that hold contents of arguments, found again by where these lie in this process. With the GIL
/// held; of one map.
///
/// A content that lies where an earlier one lay is taken for the same if the inputs are ready made, as those of a list are,
/// the arguments are pickled without running code, and the argument whose content it is was kept, so nobody else has got
/// its memory: then only what the program does between two results could have changed it, and tasks see it as it was
/// first. In all other cases the bytes are compared, which is quicker than writing them.
class CommonBuffers {
 public:
  /// Smaller contents travel with each task.
  static constexpr std::size_t kSmallest = 64 * 1024;

  /// `pure`: reading inputs runs no code of the program's.
  explicit CommonBuffers(bool pure) noexcept : pure_(pure) {}

  /// The next contents are those of these arguments. `ready`: getting at them ran no code of the program's.
  void begin_task(PyObject* const* arguments, std::size_t count, bool ready) noexcept;
  /// The address of a block with these bytes, which belong to `owner`. Throws ResourceExhausted.
  std::uint64_t place(const void* data, std::size_t size, PyObject* owner);
  /// What was placed for this task so far; `roll_back` forgets what was placed since.
  struct Placed {
    std::size_t blocks, new_bytes;
  };
  Placed placed() const noexcept { return {task_.size(), new_bytes_}; }
  void roll_back(const Placed& placed) {
    task_.resize(placed.blocks);
    new_bytes_ = placed.new_bytes;
  }
  /// What the task must keep, and how many bytes of it are new.
  std::pair<detail::KeptMemory, std::size_t> end_task();
  /// Releases what only a later task may have again; false if there is none.
  bool forget_last() noexcept { return !std::exchange(last_, {}).empty(); }
  void clear() noexcept;

 private:
  static constexpr std::size_t kMax = 64;
  struct Entry {
    const void* data;
    std::size_t size;
    Object owner;  // null if the next content there must be compared
    std::weak_ptr<const detail::SharedMemory> block;
  };
  bool is_pure(PyObject* owner) const noexcept;

  bool pure_;
  PyObject* const* arguments_ = nullptr;
  std::size_t count_ = 0;
  bool ready_ = false;
  std::vector<Entry> entries_;
  detail::KeptMemory task_;  // of the task at hand
  detail::KeptMemory last_;  // of the one before: the next is likely to have the same
  std::size_t new_bytes_ = 0;
};

}  // namespace retinue::python
