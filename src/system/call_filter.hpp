// A filter of system calls (seccomp).
#pragma once

namespace retinue::detail {

/// True if this kind of machine has a filter.
bool has_call_filter() noexcept;

/// Filters the calls of all threads of this process and of what it starts, for good. Needs PR_SET_NO_NEW_PRIVS. Throws Error.
void filter_calls(bool no_network, bool no_programs);

}  // namespace retinue::detail
