#include "memory/shared_memory.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>

#include <retinue/shared_memory.hpp>

namespace retinue::python {
namespace {

SharedMemoryObject& self_of(PyObject* self) noexcept { return shared_memory_of(self); }

// All that live, by address. With the GIL held.
using Living = std::set<std::pair<std::uintptr_t, PyObject*>>;
Living& living() {
  static auto& all = *new Living;  // never destroyed: the last of them go with the interpreter
  return all;
}

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
    living().emplace(reinterpret_cast<std::uintptr_t>(memory.data), self.get());
    return self.release();
  });
}

void dealloc(PyObject* self) {
  SharedMemoryObject& memory = self_of(self);
  if (memory.weak_references != nullptr) PyObject_ClearWeakRefs(self);
  living().erase({reinterpret_cast<std::uintptr_t>(memory.data), self});
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

PyObject* get_is_own(PyObject* self, void*) noexcept {
  return PyBool_FromLong(detail::is_own_shared(self_of(self).data));
}

PyGetSetDef properties[] = {
    {"is_own", get_is_own, nullptr, "Whether it is this process's own, not one that its owner has.", nullptr},
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

Object make_shared_memory(std::size_t bytes) {
  Object self = check(SharedMemoryType.tp_alloc(&SharedMemoryType, 0));
  SharedMemoryObject& memory = shared_memory_of(self.get());
  memory.owned = detail::allocate_for_workers(bytes);
  memory.data = memory.owned.data;
  memory.bytes = static_cast<Py_ssize_t>(bytes);
  living().emplace(reinterpret_cast<std::uintptr_t>(memory.data), self.get());
  return self;
}

PyObject* find_shared_memory(const void* data, std::size_t bytes) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  auto after = living().upper_bound({address, reinterpret_cast<PyObject*>(~std::uintptr_t{0})});
  if (after == living().begin()) return nullptr;
  const auto& [begin, object] = *std::prev(after);
  const auto size = static_cast<std::size_t>(shared_memory_of(object).bytes);
  return address - begin <= size && bytes <= size - (address - begin) ? object : nullptr;
}

PyObject* usage_now(PyObject*, PyObject*) noexcept {
  return guarded([]() -> PyObject* {
    const SharedMemoryUsage now = shared_memory_usage();
    return dict_of({{"bytes_in_use", now.bytes_in_use},
                    {"bytes_peak", now.bytes_peak},
                    {"blocks", now.blocks},
                    {"bytes_warm", now.bytes_warm},
                    {"bytes_reserved", now.bytes_reserved},
                    {"bytes_limit", now.bytes_limit}})
        .release();
  });
}

namespace {

/// Throws PythonError in the words of who calls that function.
std::uint64_t bytes_from(PyObject* value, const char* function) {
  const Object number(PyNumber_Index(value));
  if (!number) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) != 0)
      PyErr_Format(PyExc_TypeError, "%s() takes a whole number of bytes or None, not %R", function, value);
    throw PythonError{};
  }
  const unsigned long long bytes = PyLong_AsUnsignedLongLong(number.get());
  if (PyErr_Occurred() == nullptr) return bytes;
  if (PyErr_ExceptionMatches(PyExc_OverflowError) != 0)
    PyErr_Format(PyExc_ValueError, "%s() takes a number of bytes from 0 to 2**64 - 1, not %R", function, value);
  throw PythonError{};
}

}  // namespace

PyObject* limit_memory(PyObject*, PyObject* bytes) noexcept {
  return guarded([bytes]() -> PyObject* {
    std::uint64_t limit = 0;
    if (bytes != Py_None) {
      limit = bytes_from(bytes, "limit_shared_memory");
      if (limit == 0) {
        PyErr_SetString(PyExc_ValueError, "a limit must be more than 0; None takes it away");
        return nullptr;
      }
    }
    limit_shared_memory(limit);
    return Py_NewRef(Py_None);
  });
}

PyObject* keep_memory(PyObject*, PyObject* bytes) noexcept {
  return guarded([bytes]() -> PyObject* {
    std::optional<std::uint64_t> kept;
    if (bytes != Py_None) kept = bytes_from(bytes, "keep_shared_memory");
    keep_shared_memory(kept);
    return Py_NewRef(Py_None);
  });
}

PyObject* trim_memory(PyObject*, PyObject*) noexcept {
  return guarded([]() -> PyObject* {
    trim_shared_memory();
    return Py_NewRef(Py_None);
  });
}

PyObject* ask_for_huge_pages(PyObject*, PyObject*) noexcept {
  return guarded([]() -> PyObject* { return PyBool_FromLong(use_huge_pages()); });
}

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
      "SharedMemory(size, address=0, read_only=False, zeroed=True)\n\nMemory that this process and its workers see at "
      "the same "
      "address, freed with this object; or, with an address, a view of such memory in another process of the owner.";
  return type;
}();

}  // namespace retinue::python
