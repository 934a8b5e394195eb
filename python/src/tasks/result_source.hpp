// Results that stay where the worker has written them.
#pragma once

#include <memory>

#include <retinue/shared_array.hpp>

namespace retinue::python {

/// Keeps a result's block until its last user is gone; null if there is none.
inline std::shared_ptr<const void> hold(const detail::SharedMemory& block) {
  if (block.data == nullptr) return nullptr;
  return {block.data, [block](const void*) { detail::free_shared(block); }};
}

}  // namespace retinue::python
