// The entry that runs calls, and what a worker keeps for it.
#pragma once

#include <retinue/detail/codec/entry.hpp>

#include "interpreter/python.hpp"

namespace retinue::python {

/// The name of the entry that runs calls.
detail::EntryRef call_entry();

/// In a worker: whether calls were run since this was last asked.
bool has_run_calls() noexcept;
/// What the task at hand calls, or null while that is not loaded. Borrowed, and perhaps gone already once it has returned: for
/// the handler of a crash, which may read what is no more.
PyObject* running_function() noexcept;
/// In a worker that begins: what it has inherited belongs to another owner's calls.
void forget_loaded_functions() noexcept;

}  // namespace retinue::python
