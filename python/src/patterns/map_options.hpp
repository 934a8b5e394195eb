// The options of one map.
#pragma once

#include <cstddef>

#include "interpreter/options.hpp"
#include "interpreter/waiting.hpp"
#include "patterns/map.hpp"

namespace retinue::python {

/// retinue._internal.options.MapOptions.
struct MapOptions {
  bool star = false;           ///< one iterable, of tuples of arguments
  bool ordered = true;         ///< results in the order of inputs
  std::size_t look_ahead = 0;  ///< inputs read ahead of results at most; 0: the engine chooses
  Deadline deadline;           ///< for all results
  Object timeout;              ///< as it was given, for messages; null: none
  Reading reading = Reading::lazily;
  TaskOptions task;
  PyTypeObject* iterator = nullptr;  ///< a subtype of MapType to make, or null for that itself; borrowed
};
extern OptionTable<MapOptions> map_options_table;

}  // namespace retinue::python
