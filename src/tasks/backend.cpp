#include <retinue/detail/tasks/backend.hpp>

#include <retinue/error.hpp>

#include "system/fork_watch.hpp"

namespace retinue::detail {

Backend::Backend() noexcept : generation_(fork_generation()) {}

void Backend::refuse_another_copy() const {
  if (is_of_another_copy(generation_)) throw Error(kTwoCopies);
}

}  // namespace retinue::detail
