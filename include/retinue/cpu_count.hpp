// How many CPUs a pool should use.
#pragma once

#include <retinue/detail/system/requirements.hpp>

namespace retinue {

/// The number of CPUs this process may use now, at least 1: those in the calling thread's scheduling
/// affinity (taskset, cpusets, sched_setaffinity), cut to the tightest cgroup CPU quota (v1 or v2, docker's
/// `--cpus`) that holds for the process or a group above it. A quota of 1.5 CPUs counts two: one
/// worker could not use it up.
///
/// Reads /proc and /sys at each call (tens of microseconds), so a changed quota is seen. What cannot be read
/// limits nothing. Never throws; any thread may call it.
///
///     retinue::ProcessPool pool(retinue::cpu_count());
unsigned cpu_count() noexcept;

}  // namespace retinue
