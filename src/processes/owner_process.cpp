#include "owner_process.hpp"

#include <unistd.h>

#include <retinue/error.hpp>

namespace retinue::detail {

OwnerProcess::OwnerProcess() noexcept : generation_(fork_generation()), pid_(getpid()) {}

bool OwnerProcess::in_forked_child() const noexcept {
  return made_elsewhere() && !(is_of_another_copy(generation_) && getpid() == pid_);
}

void OwnerProcess::refuse() const {
  if (is_of_another_copy(generation_)) throw Error(kTwoCopies);
  throw PoolClosed("this pool belongs to the process that made it, and this is a forked child: make another pool here");
}

}  // namespace retinue::detail
