// The entry that runs calls, and what a worker keeps for it.
#pragma once

#include <retinue/detail/codec/entry.hpp>

namespace retinue::python {

/// The name of the entry that runs calls.
detail::EntryRef call_entry();

/// In a worker: whether calls were run since this was last asked.
bool has_run_calls() noexcept;
/// In a worker that begins: what it has inherited belongs to another owner's calls.
void forget_loaded_functions() noexcept;

}  // namespace retinue::python
