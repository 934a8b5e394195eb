// Memory that owner and workers see, as an object with a buffer.
#pragma once

#include <cstddef>

#include <retinue/shared_array.hpp>

#include "interpreter/python.hpp"

namespace retinue::python {

struct SharedMemoryObject {
  PyObject_HEAD PyObject* weak_references;
  detail::SharedMemory owned;  // .data is null where it is another process's
  void* data;
  Py_ssize_t bytes;
  int read_only;
};

extern PyTypeObject SharedMemoryType;

inline SharedMemoryObject& shared_memory_of(PyObject* object) noexcept {
  return *reinterpret_cast<SharedMemoryObject*>(object);
}

/// One of this process's own, not zeroed, for its workers. Throws ResourceExhausted.
Object make_shared_memory(std::size_t bytes);
/// The living one that these bytes are in, borrowed, or null.
PyObject* find_shared_memory(const void* data, std::size_t bytes) noexcept;

/// Functions of the module: shared_memory_usage(), limit_shared_memory(bytes or None),
/// keep_shared_memory(bytes or None), trim_shared_memory(), use_huge_pages().
PyObject* usage_now(PyObject*, PyObject*) noexcept;
PyObject* limit_memory(PyObject*, PyObject* bytes) noexcept;
PyObject* keep_memory(PyObject*, PyObject* bytes) noexcept;
PyObject* trim_memory(PyObject*, PyObject*) noexcept;
PyObject* ask_for_huge_pages(PyObject*, PyObject*) noexcept;

}  // namespace retinue::python
