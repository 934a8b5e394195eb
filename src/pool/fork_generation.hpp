// How objects that belong to one process notice that they have been carried into a forked child.
#pragma once

#include <cstdint>

namespace retinue::detail {

/// A number that changes in every forked child, so that whatever remembers it from its making can tell, for
/// the price of a load, that it is now a copy in another process: its threads do not exist there and its
/// locks may be held for ever. Any thread may call it. A child made by raw clone() keeps its parent's number.
std::uint32_t fork_generation() noexcept;

}  // namespace retinue::detail
