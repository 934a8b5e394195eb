// Between the files that take stacks.
#pragma once

#include <cstdint>
#include <unwind.h>

#include "stack.hpp"

namespace retinue::detail {

/// Writes this thread's stack from the caller on; with `interrupted_at` (the address in a signal handler's
/// context) from the code that the signal interrupted.
void walk_stack(StackRecord& into, std::uintptr_t interrupted_at) noexcept;

}  // namespace retinue::detail
