#include "memory/common_buffers.hpp"

#include <algorithm>
#include <cstring>

namespace retinue::python {
namespace {

constexpr std::size_t kMuch = std::size_t{1} << 20;

// Both sides are kept by the caller.
bool is_same(const void* a, const void* b, std::size_t size) noexcept {
  if (size < kMuch) return std::memcmp(a, b, size) == 0;
  const WithoutGil without;
  return std::memcmp(a, b, size) == 0;
}

std::shared_ptr<const detail::SharedMemory> write(const void* data, std::size_t size) {
  const WithoutGil without;
  auto block = std::shared_ptr<detail::SharedMemory>(new detail::SharedMemory(), [](detail::SharedMemory* memory) {
    if (memory->data != nullptr) detail::free_shared(*memory);
    delete memory;
  });
  *block = detail::copy_for_workers(data, size);
  return block;
}

// Numbers, text, and NumPy's own arrays (whose type no program can make or change).
bool pickles_without_code(PyObject* object) noexcept {
  const PyTypeObject* const type = Py_TYPE(object);
  return object == Py_None || type == &PyLong_Type || type == &PyFloat_Type || type == &PyBool_Type ||
         type == &PyUnicode_Type || type == &PyBytes_Type ||
         ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) == 0 && std::strcmp(type->tp_name, "numpy.ndarray") == 0);
}

}  // namespace

// What is not an argument itself may be part of one, such as an array of objects, which have code.
bool CommonBuffers::is_pure(PyObject* owner) const noexcept {
  return pure_ && ready_ && std::find(arguments_, arguments_ + count_, owner) != arguments_ + count_ &&
         std::all_of(arguments_, arguments_ + count_, pickles_without_code);
}

void CommonBuffers::begin_task(PyObject* const* arguments, std::size_t count, bool ready) noexcept {
  task_.clear();
  new_bytes_ = 0;
  arguments_ = arguments;
  count_ = count;
  ready_ = ready;
}

std::uint64_t CommonBuffers::place(const void* data, std::size_t size, PyObject* owner) {
  std::shared_ptr<const detail::SharedMemory> block;
  const bool pure = is_pure(owner);
  const auto entry =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.data == data && e.size == size; });
  if (entry != entries_.end()) {
    block = entry->block.lock();
    // The comparison lets other threads in, which do nothing with this map, for it is busy.
    if (block && !(pure && entry->owner) && !is_same(block->data, data, size)) block.reset();
    if (!block) entries_.erase(entry);
  }
  if (!block) {
    block = write(data, size);
    new_bytes_ += size;
    if (entries_.size() >= kMax) entries_.erase(entries_.begin());
    entries_.push_back({data, size, Object(), block});
  }
  Entry& found =
      *std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.data == data && e.size == size; });
  found.owner = pure ? Object::borrowed(owner) : Object();
  task_.push_back(std::move(block));
  return reinterpret_cast<std::uintptr_t>(task_.back()->data);
}

std::pair<detail::KeptMemory, std::size_t> CommonBuffers::end_task() {
  last_ = task_;
  std::erase_if(entries_, [](const Entry& entry) { return entry.block.expired(); });
  return {std::exchange(task_, {}), std::exchange(new_bytes_, 0)};
}

void CommonBuffers::clear() noexcept {
  entries_.clear();
  last_.clear();
}

}  // namespace retinue::python
