// What a worker does from its first task to its last: claims tasks, runs them, waits for more.
#pragma once

#include <functional>
#include <sys/types.h>

#include "worker.hpp"

namespace retinue::detail {

/// Opens what the loop needs, calls `make_ready`, from which on limits may hold, and then, unless that gave false, claims and
/// runs tasks as worker record `index` until the pool or this worker is to end. `parent` is the fork server. Throws what keeps it from beginning.
void run_tasks(const PoolPlan& plan, unsigned index, pid_t parent, const std::function<bool()>& make_ready);

}  // namespace retinue::detail
