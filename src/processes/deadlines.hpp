// The earlier of two deadlines.
#pragma once

#include <retinue/detail/tasks/completion.hpp>

namespace retinue::detail {

/// The earlier of two, of which either may be none.
inline Deadline earlier(const Deadline& a, const Deadline& b) {
  if (!a) return b;
  return b && *b < *a ? b : a;
}

}  // namespace retinue::detail
