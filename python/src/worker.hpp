// The interpreter in the fork server and in workers.
#pragma once

#include <retinue/detail/pool/process_hooks.hpp>

namespace retinue::python {

/// What the interpreter needs around forks and in workers.
extern const detail::ProcessHooks kHooks;
/// The same where workers are not forked from this process.
extern const detail::ProcessHooks kOwnerHooks;

}  // namespace retinue::python
