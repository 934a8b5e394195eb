// Memory that owner and workers see, as an object with a buffer.
#include "shared_memory.hpp"

#include <cstddef>
#include <cstring>

#include <retinue/shared_array.hpp>

namespace retinue::python {
namespace {

struct SharedMemoryObject {
  PyObject_HEAD
  PyObject* weak_references;
  detail::SharedMemory owned;  // .data is null where it is another process's
  void* data;
  Py_ssize_t bytes;
  int read_only;
};

SharedMemoryObject& self_of(PyObject* self) noexcept { return *reinterpret_cast<SharedMemoryObject*>(self); }

PyObject* make(PyTypeObject* type, PyObject* arguments, PyObject* names) {
  return guarded([&]() -> PyObject* {
    static const char* keywords[] = {"size", "address", "read_only", "zeroed", nullptr};
    Py_ssize_t size = 0;
    unsigned long long address = 0;
    int read_only = 0, zeroed = 1;
    if (!PyArg_ParseTupleAndKeywords(arguments, names, "n|Kpp", const_cast<char**>(keywords), &size, &address,
                                     &read_only, &zeroed))
      return nullptr;
    if (size < 0) {
      PyErr_SetString(PyExc_ValueError, "a size must not be negative");
      return nullptr;
    }
    Object self = check(type->tp_alloc(type, 0));
    SharedMemoryObject& memory = self_of(self.get());
    if (address == 0) {
      memory.owned = detail::allocate_shared(static_cast<std::uint64_t>(size));
      memory.data = memory.owned.data;
      if (zeroed != 0) {
        const WithoutGil without;
        std::memset(memory.data, 0, static_cast<std::size_t>(size));
      }
    } else {
      memory.data = reinterpret_cast<void*>(static_cast<std::uintptr_t>(address));
    }
    memory.bytes = size;
    memory.read_only = read_only;
    return self.release();
  });
}

void dealloc(PyObject* self) {
  SharedMemoryObject& memory = self_of(self);
  if (memory.weak_references != nullptr) PyObject_ClearWeakRefs(self);
  if (memory.owned.data != nullptr) detail::free_shared(memory.owned);
  Py_TYPE(self)->tp_free(self);
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  SharedMemoryObject& memory = self_of(self);
  return PyBuffer_FillInfo(view, self, memory.data, memory.bytes, memory.read_only, flags);
}

Py_ssize_t length(PyObject* self) { return self_of(self).bytes; }

PyObject* get_address(PyObject* self, void*) noexcept {
  return PyLong_FromUnsignedLongLong(reinterpret_cast<std::uintptr_t>(self_of(self).data));
}

PyGetSetDef properties[] = {
    {"address", get_address, nullptr, "Where it lies, in every process of the owner.", nullptr},
    {},
};

PyBufferProcs buffer_procs = {get_buffer, nullptr};
PySequenceMethods sequence = [] {
  PySequenceMethods methods = {};
  methods.sq_length = length;
  return methods;
}();

}  // namespace

PyTypeObject SharedMemoryType = [] {
  PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
  type.tp_name = "retinue._engine.SharedMemory";
  type.tp_basicsize = sizeof(SharedMemoryObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT;
  type.tp_weaklistoffset = offsetof(SharedMemoryObject, weak_references);
  type.tp_new = make;
  type.tp_dealloc = dealloc;
  type.tp_as_buffer = &buffer_procs;
  type.tp_as_sequence = &sequence;
  type.tp_getset = properties;
  type.tp_doc =
      "SharedMemory(size, address=0, read_only=False, zeroed=True)\n\nMemory that this process and its workers see at the same "
      "address, freed with this object; or, with an address, a view of such memory in another process of the owner.";
  return type;
}();

}  // namespace retinue::python
