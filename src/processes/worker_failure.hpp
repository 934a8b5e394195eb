// How a worker that cannot go on says why.
#pragma once

#include <cstdint>

#include "control.hpp"

namespace retinue::detail {

/// Leaves the exception that is being handled for the owner, and `ready` (WorkerRecord::k...) as what it means.
void report_failure(WorkerRecord& record, std::uint32_t ready) noexcept;

}  // namespace retinue::detail
