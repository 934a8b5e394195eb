// The part of cpu_count() that reads files, apart so that tests can give it a tree of their own.
#pragma once

#include <string>

namespace retinue::detail {

/// `affinity` cut to the tightest CPU quota found in `root_prefix`/proc/self/{cgroup,mountinfo} and the cgroup
/// folders they name (all taken below `root_prefix`; "" is the real machine). At least 1. Throws bad_alloc only.
unsigned cpu_count_from(const std::string& root_prefix, unsigned affinity);

}  // namespace retinue::detail
