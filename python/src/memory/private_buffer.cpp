#include "memory/private_buffer.hpp"

#include <new>
#include <optional>
#include <utility>

#include <retinue/detail/memory/private_memory.hpp>

namespace retinue::python {
namespace {

struct PrivateBufferObject {
  PyObject_HEAD std::optional<detail::PrivateMemory> memory;
  int read_only;
};

PrivateBufferObject& self_of(PyObject* self) noexcept { return *reinterpret_cast<PrivateBufferObject*>(self); }

void dealloc(PyObject* self) {
  self_of(self).memory.~optional();
  Py_TYPE(self)->tp_free(self);
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  PrivateBufferObject& buffer = self_of(self);
  return PyBuffer_FillInfo(view, self, buffer.memory->data(), static_cast<Py_ssize_t>(buffer.memory->size()),
                           buffer.read_only, flags);
}

Py_ssize_t length(PyObject* self) { return static_cast<Py_ssize_t>(self_of(self).memory->size()); }

PyBufferProcs buffer_procs = {get_buffer, nullptr};
PySequenceMethods sequence = [] {
  PySequenceMethods methods = {};
  methods.sq_length = length;
  return methods;
}();

}  // namespace

PyTypeObject PrivateBufferType = [] {
  PyTypeObject type = {PyVarObject_HEAD_INIT(nullptr, 0)};
  type.tp_name = "retinue._engine.PrivateBuffer";
  type.tp_basicsize = sizeof(PrivateBufferObject);
  type.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION;
  type.tp_dealloc = dealloc;
  type.tp_as_buffer = &buffer_procs;
  type.tp_as_sequence = &sequence;
  type.tp_doc = "The bytes of an argument or a result that came through shared memory, private to this process.";
  return type;
}();

Object make_private_buffer(const void* data, std::size_t size, std::shared_ptr<const void> source, bool read_only) {
  if (size < detail::PrivateMemory::kWorthwhile) return Object();
  auto memory = detail::PrivateMemory::of(data, size, std::move(source));
  if (!memory) return Object();
  Object self = check(PrivateBufferType.tp_alloc(&PrivateBufferType, 0));
  PrivateBufferObject& buffer = self_of(self.get());
  new (&buffer.memory) std::optional<detail::PrivateMemory>(std::move(memory));
  buffer.read_only = read_only ? 1 : 0;
  return check(PyMemoryView_FromObject(self.get()));
}

}  // namespace retinue::python
