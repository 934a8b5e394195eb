// oneTBB held to as many threads as a pool has workers.
#pragma once

#if RETINUE_BENCH_HAS_TBB

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

namespace bench {

/// Runs `f` in an arena of `threads`, the caller's among them.
template <class F>
void with_tbb_threads(int threads, F&& f) {
  const tbb::global_control control(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
  tbb::task_arena arena(threads);
  arena.execute(std::forward<F>(f));
}

}  // namespace bench

#endif
