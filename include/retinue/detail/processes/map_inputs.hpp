// How the inputs of a map over processes are read: for every language.
#pragma once

#include <cstddef>
#include <exception>

#include <retinue/detail/processes/map_window.hpp>
#include <retinue/error.hpp>

namespace retinue::detail {

/// What came of reading one input.
enum class InputRead {
  staged,    ///< go on
  deferred,  ///< read no more for now
  none,      ///< the inputs are at their end
};

/// Reads inputs until `wanted` of them are staged, or what is under way is as much memory as a map may have (unless
/// `heavy_too`). `read_one` stages the next input and returns an InputRead; what it throws passes on. Returns true if the
/// inputs are at their end. Nothing is published.
template <class ReadOne>
bool read_inputs(MapWindow& window, std::size_t wanted, bool heavy_too, ReadOne&& read_one) {
  for (; wanted > 0 && (heavy_too || !window.is_heavy()); --wanted) {
    const InputRead read = read_one();
    if (read != InputRead::staged) return read == InputRead::none;
  }
  return false;
}

/// Publishes what is staged. Returns the PoolClosed of a pool that takes no more, else null: for a map that is where its
/// inputs end, and the error comes after the results of earlier inputs.
inline std::exception_ptr publish_inputs(MapWindow& window) {
  try {
    window.publish();
  } catch (const PoolClosed&) {
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace retinue::detail
