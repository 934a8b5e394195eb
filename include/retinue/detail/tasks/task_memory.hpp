// Memory for tasks, which live briefly and often die in another thread than they were born in.
#pragma once

#include <cstddef>

namespace retinue::detail {

/// Memory for one task, aligned to a cache line; throws std::bad_alloc. A few nanoseconds for tasks up to
/// 256 bytes, which come from a stock that each thread keeps and trades with the others in batches. Any thread
/// may call it, also in a forked child: no lock is ever waited for.
void* allocate_task_memory(std::size_t bytes);
/// Frees it; `bytes` are those of its allocation.
void free_task_memory(void* memory, std::size_t bytes) noexcept;

}  // namespace retinue::detail
