#include "codec/encoder.hpp"

#include <cstring>
#include <limits>
#include <new>
#include <optional>

#include "codec/scalars.hpp"
#include "interpreter/helpers.hpp"
#include "memory/common_buffers.hpp"
#include "memory/shared_arrays.hpp"
#include "memory/shared_memory.hpp"

namespace retinue::python {
namespace {

constexpr std::size_t kMuchToCopy = std::size_t{1} << 20;  // while others wait for the GIL
constexpr std::size_t kMaxInHead = std::numeric_limits<std::uint32_t>::max() / 2;

struct ViewGuard {
  explicit ViewGuard(Py_buffer& v) noexcept : view(v) {}
  ViewGuard(const ViewGuard&) = delete;
  ViewGuard& operator=(const ViewGuard&) = delete;
  ~ViewGuard() { PyBuffer_Release(&view); }
  Py_buffer& view;
};

[[noreturn]] void refuse_name() {
  const Object kind = check(PyUnicode_FromString("PicklingError"));
  const Object why =
      check(PyUnicode_FromString("a shared array or a shared value travels as the name of shared memory, which the "
                                 "process that is to read this does "
                                 "not have: send its content, for instance numpy.array(it)"));
  const Object no_number = check(PyLong_FromLong(0));
  const Object error = helpers::make_error(kind.get(), why.get(), no_number.get());
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  throw PythonError{};
}

}  // namespace

void check_reach(Reach reach, PyObject* kept) {
  if (reach == Reach::same_region || kept == nullptr) return;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(kept); ++i) {
    const PyTypeObject* type = Py_TYPE(PyList_GET_ITEM(kept, i));
    if (type == &SharedMemoryType || is_shared(type)) refuse_name();
  }
}

struct Encoder::Mark {
  std::size_t head, externals;
  int containers;
  CommonBuffers::Placed placed;
};

Encoder::~Encoder() { release_externals(); }

void Encoder::release_externals() noexcept {
  for (External& external : externals_)
    if (external.view.obj != nullptr) PyBuffer_Release(&external.view);
  externals_.clear();
}

void Encoder::release_head() noexcept {
  if (head_size_ <= kInline) {
    std::memcpy(inline_, head_, head_size_);
    heap_ = {};
    head_ = inline_;
    capacity_ = kInline;
    return;
  }
  try {
    heap_ = std::vector<std::byte>(head_, head_ + head_size_);
    head_ = heap_.data();
    capacity_ = head_size_;
  } catch (const std::bad_alloc&) {
    // Then it stays as large as it is.
  }
}

void Encoder::make_room(std::size_t n) {
  if (n > kMaxInHead - head_size_) {
    PyErr_SetString(PyExc_OverflowError, "a value of more than 2 GB of small parts cannot be sent");
    throw PythonError{};
  }
  const std::size_t wanted = std::max(2 * capacity_, head_size_ + n);
  const bool first = heap_.empty();
  heap_.resize(wanted);
  if (first) std::memcpy(heap_.data(), inline_, head_size_);
  head_ = heap_.data();
  capacity_ = wanted;
}

void Encoder::outside(const void* data, std::size_t size, PyObject* owner) {
  externals_.push_back({data, size, Object::borrowed(owner), {}});
}

void Encoder::roll_back(const Mark& mark) noexcept {
  head_size_ = mark.head;
  containers_ = mark.containers;
  if (common_ != nullptr) common_->roll_back(mark.placed);
  while (externals_.size() > mark.externals) {
    if (externals_.back().view.obj != nullptr) PyBuffer_Release(&externals_.back().view);
    externals_.pop_back();
  }
}

bool Encoder::simple_text(PyObject* object) {
#if PY_VERSION_HEX < 0x030c0000
  if (PyUnicode_READY(object) < 0) throw PythonError{};
#endif
  const auto length = static_cast<std::size_t>(PyUnicode_GET_LENGTH(object));
  const auto kind = static_cast<std::uint8_t>(PyUnicode_KIND(object));
  const void* data = PyUnicode_DATA(object);
  const std::size_t size = length * kind;
  if (size >= kOutside) {
    tag(ValueTag::text_outside);
    number(PyUnicode_IS_ASCII(object) ? std::uint8_t{0} : kind);
    number(std::uint64_t{length});
    outside(data, size, object);
  } else if (PyUnicode_IS_ASCII(object)) {
    tag(ValueTag::ascii);
    number(static_cast<std::uint32_t>(length));
    raw(data, size);
  } else {
    tag(ValueTag::text);
    number(kind);
    number(static_cast<std::uint32_t>(length));
    raw(data, size);
  }
  return true;
}

// False if it, or something in it, is of another type; what was written by then is rolled back by the caller.
bool Encoder::simple(PyObject* object, int depth) {
  std::byte scalar[kMaxScalar];
  if (const std::size_t n = write_scalar(object, scalar); n != 0) {
    raw(scalar, n);
    return true;
  }
  const PyTypeObject* type = Py_TYPE(object);
  if (type == &PyUnicode_Type) return simple_text(object);
  if (type == &PyBytes_Type) return simple_bytes(object);
  if (type == &PyByteArray_Type) {
    if (++containers_ > 1) return false;
    const auto size = static_cast<std::size_t>(PyByteArray_GET_SIZE(object));
    if (size >= kOutside) {
      tag(ValueTag::byte_array_outside);
      number(std::uint64_t{size});
      External external{nullptr, size, Object(), {}};
      check(PyObject_GetBuffer(object, &external.view, PyBUF_SIMPLE));  // it keeps its size as long
      external.data = external.view.buf;
      externals_.push_back(std::move(external));
    } else {
      tag(ValueTag::byte_array);
      number(static_cast<std::uint32_t>(size));
      raw(PyByteArray_AS_STRING(object), size);
    }
    return true;
  }
  if (scope_ != nullptr && is_shared(type)) return shared(object);
  if (depth >= kDepth) return false;
  if (type == &PyTuple_Type) {
    const Py_ssize_t count = PyTuple_GET_SIZE(object);
    tag(ValueTag::tuple);
    number(static_cast<std::uint32_t>(count));
    for (Py_ssize_t i = 0; i < count; ++i)
      if (!simple(PyTuple_GET_ITEM(object, i), depth + 1)) return false;
    return count <= std::numeric_limits<std::uint32_t>::max();
  }
  if (type == &PyList_Type) {
    if (++containers_ > 1) return false;
    const Py_ssize_t count = PyList_GET_SIZE(object);
    tag(ValueTag::list);
    number(static_cast<std::uint32_t>(count));
    for (Py_ssize_t i = 0; i < count; ++i)
      if (!simple(PyList_GET_ITEM(object, i), depth + 1)) return false;
    return count <= std::numeric_limits<std::uint32_t>::max();
  }
  if (type == &PyDict_Type) {
    if (++containers_ > 1) return false;
    tag(ValueTag::dict);
    number(static_cast<std::uint32_t>(PyDict_GET_SIZE(object)));
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &value);)
      if (!simple(key, depth + 1) || !simple(value, depth + 1)) return false;
    return true;
  }
  return false;
}

bool Encoder::simple_bytes(PyObject* object) {
  const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(object));
  const char* data = PyBytes_AS_STRING(object);
  if (common_ != nullptr && size >= CommonBuffers::kSmallest) {
    const std::uint64_t address = common_->place(data, size, object);
    tag(ValueTag::bytes_elsewhere);
    number(std::uint64_t{size});
    number(address);
  } else if (size >= kOutside) {
    tag(ValueTag::bytes_outside);
    number(std::uint64_t{size});
    outside(data, size, object);
  } else {
    tag(ValueTag::bytes);
    number(static_cast<std::uint32_t>(size));
    raw(data, size);
  }
  return true;
}

// Names memory that the worker sees as well.
bool Encoder::shared(PyObject* object) {
  SharedName name;
  if (!name_shared(object, scope_, name)) return false;
  if (reach_ != Reach::same_region) refuse_name();
  keep(name.holder.get());
  tag(name.is_array ? ValueTag::shared_array : ValueTag::shared_value);
  raw(name.bytes, name.size);
  return true;
}

void Encoder::keep(PyObject* object) {
  if (!kept_) kept_ = check(PyList_New(0));
  check(PyList_Append(kept_.get(), object));
}

Encoder::Mark Encoder::mark() const noexcept {
  return {head_size_, externals_.size(), containers_, common_ != nullptr ? common_->placed() : CommonBuffers::Placed{}};
}

bool Encoder::may_be_simple(PyObject* object) const noexcept {
  const PyTypeObject* type = Py_TYPE(object);
  return type == &PyLong_Type || type == &PyFloat_Type || type == &PyUnicode_Type || type == &PyBytes_Type ||
         type == &PyTuple_Type || type == &PyList_Type || type == &PyDict_Type || type == &PyBool_Type ||
         type == &PyByteArray_Type || object == Py_None || is_shared(type);
}

bool Encoder::values(PyObject* const* objects, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    if (!may_be_simple(objects[i])) return false;
  const Mark before = mark();
  for (std::size_t i = 0; i < count; ++i)
    if (!simple(objects[i], 0)) {
      roll_back(before);
      return false;
    }
  return true;
}

void Encoder::value(PyObject* object) {
  if (values(&object, 1)) return;
  const Object parts = helpers::dumps(object, scope_ != nullptr ? scope_ : Py_None, again_ ? Py_True : Py_False);
  if (!PyTuple_CheckExact(parts.get())) return pickled(parts.get(), nullptr);
  if (PyTuple_GET_ITEM(parts.get(), 2) != Py_None) {
    PyObject* kept = PyTuple_GET_ITEM(parts.get(), 2);
    check_reach(reach_, kept);
    kept_to_the_end_ |= !PyList_CheckExact(kept);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(kept); ++i) keep(PyList_GET_ITEM(kept, i));
  }
  pickled(PyTuple_GET_ITEM(parts.get(), 0), PyTuple_GET_ITEM(parts.get(), 1));
}

void Encoder::pickled(PyObject* bytes, PyObject* buffers) {
  const Py_ssize_t count = buffers != nullptr ? PyList_GET_SIZE(buffers) : 0;
  if (count != 0) {
    tag(ValueTag::pickle_with_buffers);
    number(static_cast<std::uint32_t>(count));
    for (Py_ssize_t i = 0; i < count; ++i) {
      External external{nullptr, 0, Object(), {}};
      check(PyObject_GetBuffer(PyList_GET_ITEM(buffers, i), &external.view, PyBUF_ANY_CONTIGUOUS));
      external.data = external.view.buf;
      external.size = static_cast<std::size_t>(external.view.len);
      const std::uint8_t flags = external.view.readonly != 0 ? kReadOnly : 0;
      if (common_ != nullptr && external.size >= CommonBuffers::kSmallest) {
        const ViewGuard guard(external.view);
        const std::uint64_t address = common_->place(external.data, external.size, external.view.obj);
        number(static_cast<std::uint8_t>(flags | kElsewhere));
        number(std::uint64_t{external.size});
        number(address);
        continue;
      }
      number(flags);
      number(std::uint64_t{external.size});
      externals_.push_back(std::move(external));
    }
  }
  const auto size = static_cast<std::size_t>(PyBytes_GET_SIZE(bytes));
  if (size >= kOutside) {
    tag(ValueTag::pickle_outside);
    number(std::uint64_t{size});
    outside(PyBytes_AS_STRING(bytes), size, bytes);
  } else {
    tag(ValueTag::pickle);
    number(static_cast<std::uint32_t>(size));
    raw(PyBytes_AS_STRING(bytes), size);
  }
}

std::size_t Encoder::size_with_externals() const noexcept {
  std::size_t end = head_size_;
  for (const External& external : externals_) end = align_external(end) + external.size;
  return end;
}

void Encoder::write_to(std::byte* room) const noexcept {
  std::optional<WithoutGil> without;
  if (size() >= kMuchToCopy) without.emplace();
  const auto head_size = static_cast<std::uint32_t>(head_size_);
  std::memcpy(room, head_, head_size_);
  std::memcpy(room, &head_size, sizeof head_size);
  std::size_t at = head_size_;
  for (const External& external : externals_) {
    at = align_external(at);
    std::memcpy(room + at, external.data, external.size);
    at += external.size;
  }
}

}  // namespace retinue::python
