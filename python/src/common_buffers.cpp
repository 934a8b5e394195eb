#include "common_buffers.hpp"

#include <algorithm>
#include <cstring>

#include "shared_memory.hpp"

namespace retinue::python {
namespace {

constexpr std::size_t kMuch = std::size_t{1} << 20;

/// What a weak reference refers to, or null.
Object referent(PyObject* reference) {
#if PY_VERSION_HEX >= 0x030d0000
  PyObject* object = nullptr;
  check(PyWeakref_GetRef(reference, &object));
  return Object(object);
#else
  PyObject* const object = PyWeakref_GET_OBJECT(reference);
  return object != Py_None ? Object::borrowed(object) : Object();
#endif
}

// Both sides are kept by the caller.
bool is_same(const void* a, const void* b, std::size_t size) noexcept {
  if (size < kMuch) return std::memcmp(a, b, size) == 0;
  const WithoutGil without;
  return std::memcmp(a, b, size) == 0;
}

}  // namespace

std::uint64_t CommonBuffers::address_of(PyObject* block) noexcept {
  return reinterpret_cast<std::uintptr_t>(shared_memory_of(block).data);
}

PyObject* CommonBuffers::place(const void* data, std::size_t size, PyObject* owner) {
  const auto known = [&](const Entry& entry) { return entry.data == data && entry.size == size; };
  if (const auto entry = std::find_if(entries_.begin(), entries_.end(), known); entry != entries_.end()) {
    const Object block = entry->block ? entry->block : referent(entry->reference.get());
    // The comparison lets other threads in, which do nothing with this map, for it is busy.
    if (block && (quiet_ || is_same(shared_memory_of(block.get()).data, data, size))) {
      entry->used = true;
      entry->block = block;
      return block.get();
    }
    entries_.erase(entry);
  }
  Object block = make_shared_memory(size);
  {
    const WithoutGil without;
    std::memcpy(shared_memory_of(block.get()).data, data, size);
  }
  placed_ += size;
  Object reference = check(PyWeakref_NewRef(block.get(), nullptr));
  if (entries_.size() >= kMost) entries_.erase(entries_.begin());
  entries_.push_back({data, size, Object::borrowed(owner), std::move(reference), std::move(block), true});
  return entries_.back().block.get();
}

void CommonBuffers::end_task() {
  std::erase_if(entries_, [this](Entry& entry) {
    if (std::exchange(entry.used, false)) return false;
    if (!quiet_) entry.owner = Object();  // it may go: whoever gets its memory has its bytes compared
    entry.block = Object();
    return !referent(entry.reference.get());
  });
}

}  // namespace retinue::python
