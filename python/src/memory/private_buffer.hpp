// Large contents of payloads as objects with a buffer, without copying them.
#pragma once

#include <cstddef>
#include <memory>

#include "interpreter/python.hpp"

namespace retinue::python {

extern PyTypeObject PrivateBufferType;

/// A memoryview of `size` bytes at `data`, which lie in shared memory: private to this process, writable unless
/// `read_only`; see retinue::detail::PrivateMemory, also for `source`. Null, with no exception set, where a copy is the
/// better way or the only one.
Object make_private_buffer(const void* data, std::size_t size, std::shared_ptr<const void> source, bool read_only);

}  // namespace retinue::python
