// Whether a pool is used in the process that made it.
#pragma once

#include <cstdint>
#include <sys/types.h>

#include "system/fork_watch.hpp"

namespace retinue::detail {

/// The process and the copy of this library that a pool belongs to. Constant; any thread may ask.
class OwnerProcess {
 public:
  /// The calling process.
  OwnerProcess() noexcept;

  /// True in a child forked from the owner, where its pools are a memory of the parent's, and for another copy of this
  /// library in the owner's program.
  bool made_elsewhere() const noexcept { return generation_ != fork_generation(); }
  /// The child alone; dearer.
  bool in_forked_child() const noexcept;
  /// Throws PoolClosed in the child, Error for another copy.
  void refuse_if_made_elsewhere() const {
    if (made_elsewhere()) [[unlikely]]
      refuse();
  }
  pid_t pid() const noexcept { return pid_; }

 private:
  [[noreturn, gnu::cold]] void refuse() const;

  std::uint64_t generation_;
  pid_t pid_;
};

}  // namespace retinue::detail
