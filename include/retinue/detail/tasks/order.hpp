// In which order a map gives its results.
#pragma once

namespace retinue::detail {

/// Of a map's results: as their inputs come, or as they are there.
enum class Order { inputs, completion };

}  // namespace retinue::detail
