// How a worker that cannot go on says why.
#pragma once

#include <cstdint>

#include "control.hpp"

namespace retinue::detail {

/// Leaves the exception that is being handled for the owner, and `ready` (Seat::k...) as what it means.
void report_trouble(Seat& seat, std::uint32_t ready) noexcept;

}  // namespace retinue::detail
