// The small process that forks a pool's workers and reaps them.
#pragma once

#include "worker.hpp"

namespace retinue::detail {

/// Runs the fork server of a pool, in a process just forked by the owner. Single-threaded; it touches no
/// lock and allocates nothing, so it does not matter what the owner's other threads were doing at the
/// fork. It talks with the owner through the worker records' `life`, `kill_wanted` and two doorbells, and needs no
/// descriptor. Where the pool's workers are to inherit few descriptors, it closes the others before it makes any worker.
///
/// It ends when the owner does, or execs another program (then it kills its workers first), or when the pool is closing and its
/// last worker is gone. If it is killed itself, the kernel kills the workers (PR_SET_PDEATHSIG) and the
/// owner closes the pool. If it cannot begin, its exit code is the errno. Terminal signals and SIGTERM do not end it.
[[noreturn]] void run_fork_server(const PoolPlan& plan) noexcept;

}  // namespace retinue::detail
