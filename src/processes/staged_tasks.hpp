// The tasks of a map that wait to be submitted together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace retinue::detail {

class TaskState;

/// Tasks with their arguments: those that fit into a slot lie here, others in a block that the task has. One thread at a time.
class StagedTasks {
 public:
  struct Staged {
    TaskState* task;
    std::size_t at;  // of its arguments, in units of 32 bytes
    std::size_t size;
  };

  bool empty() const noexcept { return tasks_.empty(); }
  auto begin() const noexcept { return tasks_.begin(); }
  auto end() const noexcept { return tasks_.end(); }
  TaskState& last() const noexcept { return *tasks_.back().task; }

  /// Room for arguments that fit into a slot. Throws bad_alloc.
  std::byte* add_small(TaskState* task, std::size_t bytes) {
    const std::size_t at = used_, units = (bytes + sizeof(Unit) - 1) / sizeof(Unit);
    if (at + units > arguments_.size())
      arguments_.resize(std::max<std::size_t>(2 * arguments_.size(), at + units + 64));
    tasks_.push_back({task, at, bytes});
    used_ = at + units;
    return arguments_[at].bytes;
  }
  /// With its arguments elsewhere. Throws bad_alloc.
  void add_large(TaskState* task, std::size_t bytes) { tasks_.push_back({task, 0, bytes}); }
  /// The arguments of one that was added as small.
  const std::byte* arguments_of(const Staged& staged) const noexcept { return arguments_.data()[staged.at].bytes; }

  void remove_last() noexcept { tasks_.pop_back(); }
  void remove_first(std::size_t count) noexcept {
    tasks_.erase(tasks_.begin(), tasks_.begin() + static_cast<std::ptrdiff_t>(count));
  }
  void clear() noexcept {
    tasks_.clear();
    used_ = 0;
  }

 private:
  struct alignas(32) Unit {
    std::byte bytes[32];
  };

  std::vector<Staged> tasks_;
  std::vector<Unit> arguments_;
  std::size_t used_ = 0;  // units
};

}  // namespace retinue::detail
