#include "codec/encoder.hpp"

#include <cstring>
#include <limits>
#include <new>
#include <optional>

#include <retinue/writer.hpp>

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

// Makes what the collector would see to, without its running the finalizers of others: they could change what is just
// being written.
template <class F>
Object without_collecting(F&& make) {
  const int enabled = PyGC_Disable();
  PyObject* const made = make();
  if (enabled != 0) PyGC_Enable();
  return check(made);
}

// Of which one payload may not say twice that it holds it.
bool is_container(PyObject* object) noexcept {
  const PyTypeObject* type = Py_TYPE(object);
  return type == &PyList_Type || type == &PyDict_Type || type == &PySet_Type || type == &PyFrozenSet_Type ||
         type == &PyByteArray_Type;
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
  bool one_seen, several;
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
    heap_.reset();
    head_ = inline_;
    capacity_ = kInline;
  } else if (auto* const smaller = static_cast<std::byte*>(std::realloc(heap_.get(), head_size_))) {
    (void)heap_.release();
    heap_.reset(smaller);
    head_ = smaller;
    capacity_ = head_size_;
  }
}

void Encoder::make_room(std::size_t n) {
  if (n > kMaxInHead - head_size_) {
    PyErr_SetString(PyExc_OverflowError, "a value of more than 2 GB of small parts cannot be sent");
    throw PythonError{};
  }
  const std::size_t wanted = std::max(2 * capacity_, head_size_ + n);
  const bool first = heap_ == nullptr;
  auto* const larger = static_cast<std::byte*>(std::realloc(heap_.get(), wanted));
  if (larger == nullptr) throw std::bad_alloc();
  (void)heap_.release();
  heap_.reset(larger);
  if (first) std::memcpy(larger, inline_, head_size_);
  head_ = larger;
  capacity_ = wanted;
}

void Encoder::outside(const void* data, std::size_t size, PyObject* owner) {
  externals_.push_back({data, size, Object::borrowed(owner), {}});
}

void Encoder::roll_back(const Mark& mark) noexcept {
  head_size_ = mark.head;
  containers_ = mark.containers;
  one_seen_ = mark.one_seen;
  several_ = mark.several;
  if (common_ != nullptr) common_->roll_back(mark.placed);
  while (externals_.size() > mark.externals) {
    if (externals_.back().view.obj != nullptr) PyBuffer_Release(&externals_.back().view);
    externals_.pop_back();
  }
}

// Whether it may be in this payload a second time. What a list or tuple refers to, and nothing else, is not, unless a
// tuple around it may be there twice (`repeated`); arguments themselves may be held by nobody but the caller's variables.
bool Encoder::is_elsewhere(PyObject* container, int depth, bool repeated) noexcept {
  several_ = std::exchange(one_seen_, true);
  if (depth > 0 && !repeated && Py_REFCNT(container) == 1) return false;
  return ++containers_ > 1;
}

// A list may be changed on the way by code that names a shared array in it.
bool Encoder::sequence(PyObject* object, ValueTag tagged, ValueTag packed_tag, int depth, bool repeated) {
  const auto count = static_cast<std::size_t>(PySequence_Fast_GET_SIZE(object));
  if (count > std::numeric_limits<std::uint32_t>::max()) return false;
  if (count >= kFewestPacked && packed(packed_tag, PySequence_Fast_ITEMS(object), count)) return true;
  tag(tagged);
  number(static_cast<std::uint32_t>(count));
  for (Py_ssize_t i = 0; i < static_cast<Py_ssize_t>(count); ++i) {
    if (i >= PySequence_Fast_GET_SIZE(object)) return false;
    if (!simple(PySequence_Fast_GET_ITEM(object, i), depth + 1, repeated)) return false;
  }
  return true;
}

template <class T, class Read>
bool Encoder::packed_as(PackedKind kind, ValueTag as, PyObject* const* items, std::size_t count, Read&& read) {
  const std::size_t before = head_size_;
  tag(as);
  number(kind);
  number(static_cast<std::uint32_t>(count));
  std::byte* at = grow(count * sizeof(T));
  for (std::size_t i = 0; i < count; ++i, at += sizeof(T)) {
    T value{};
    if (!read(items[i], value)) return rewind(before), false;
    std::memcpy(at, &value, sizeof value);
  }
  return true;
}

// False, and nothing is written, if they are not all ints of 64 bits, or all floats.
bool Encoder::packed(ValueTag as, PyObject* const* items, std::size_t count) {
  const auto is_int = [](PyObject* item, auto& value) {
    if (!PyLong_CheckExact(item)) return false;
    int overflow = 0;
    const long long n = PyLong_AsLongLongAndOverflow(item, &overflow);
    value = static_cast<std::remove_reference_t<decltype(value)>>(n);
    return overflow == 0 && value == n;
  };
  const auto is_float = [](PyObject* item, double& value) {
    if (!PyFloat_CheckExact(item)) return false;
    value = PyFloat_AS_DOUBLE(item);
    return true;
  };
  if (PyFloat_CheckExact(items[0])) return packed_as<double>(PackedKind::f64, as, items, count, is_float);
  if (!PyLong_CheckExact(items[0]) || !PyLong_CheckExact(items[count - 1])) return false;
  return packed_as<std::int32_t>(PackedKind::i32, as, items, count, is_int) ||
         packed_as<std::int64_t>(PackedKind::i64, as, items, count, is_int);
}

// A dict of many numbers. False, and nothing is written, if its keys are something else or its values cannot be written.
bool Encoder::numbered_dict(PyObject* dict, int depth) {
  const Py_ssize_t count = PyDict_GET_SIZE(dict);
  Py_ssize_t at = 0;
  PyObject *key = nullptr, *value = nullptr;
  if (count < Py_ssize_t{kFewestPacked} || count > std::numeric_limits<std::uint32_t>::max()) return false;
  if (PyDict_Next(dict, &at, &key, &value) == 0 || !(PyLong_CheckExact(key) || PyFloat_CheckExact(key))) return false;
  const Object values = without_collecting([&] { return PyTuple_New(count); });
  std::vector<PyObject*> keys;
  keys.reserve(static_cast<std::size_t>(count));
  for (at = 0; PyDict_Next(dict, &at, &key, &value) != 0;) {
    PyTuple_SET_ITEM(values.get(), static_cast<Py_ssize_t>(keys.size()), Py_NewRef(value));
    keys.push_back(key);
  }
  const Mark before = mark();
  tag(ValueTag::numbered_dict);
  if (packed(ValueTag::packed_tuple, keys.data(), keys.size()) &&
      sequence(values.get(), ValueTag::tuple, ValueTag::packed_tuple, depth))
    return true;
  roll_back(before);
  return false;
}

// Text and bytes that something else refers to may be in several lists: then a pickle has them once.
bool Encoder::is_in_several(PyObject* object) const noexcept { return several_ && Py_REFCNT(object) > 1; }

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
bool Encoder::simple(PyObject* object, int depth, bool repeated) {
  std::byte scalar[kMaxScalar];
  if (const std::size_t n = write_scalar(object, scalar); n != 0) {
    raw(scalar, n);
    return true;
  }
  const PyTypeObject* type = Py_TYPE(object);
  if (type == &PyUnicode_Type) return !is_in_several(object) && simple_text(object);
  if (type == &PyBytes_Type) return !is_in_several(object) && simple_bytes(object);
  if (type == &PyByteArray_Type) {
    if (is_elsewhere(object, depth, repeated)) return false;
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
    // Tuples are not counted, but what one holds is wherever it is.
    repeated = repeated || (Py_REFCNT(object) > 1 && (depth > 0 || !alone_));
    return sequence(object, ValueTag::tuple, ValueTag::packed_tuple, depth, repeated);
  }
  if (type == &PyList_Type)
    return !is_elsewhere(object, depth, repeated) && sequence(object, ValueTag::list, ValueTag::packed_list, depth);
  if (type == &PySet_Type || type == &PyFrozenSet_Type) {
    if (is_elsewhere(object, depth, repeated)) return false;
    const Object items = without_collecting([&] { return PySequence_Tuple(object); });
    tag(type == &PySet_Type ? ValueTag::set : ValueTag::frozen_set);
    return simple(items.get(), depth);
  }
  if (type == &PyDict_Type) {
    if (is_elsewhere(object, depth, repeated)) return false;
    if (numbered_dict(object, depth)) return true;
    tag(ValueTag::dict);
    number(static_cast<std::uint32_t>(PyDict_GET_SIZE(object)));
    PyObject *key = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &value) != 0;)
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
  return {head_size_, externals_.size(), containers_,
          one_seen_,  several_,          common_ != nullptr ? common_->placed() : CommonBuffers::Placed{}};
}

bool Encoder::may_be_simple(PyObject* object) const noexcept {
  const PyTypeObject* type = Py_TYPE(object);
  return type == &PyLong_Type || type == &PyFloat_Type || type == &PyUnicode_Type || type == &PyBytes_Type ||
         type == &PyTuple_Type || type == &PyBool_Type || object == Py_None || is_container(object) || is_shared(type);
}

bool Encoder::values(PyObject* const* objects, std::size_t count) {
  int containers = 0, tuples = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!may_be_simple(objects[i])) return false;
    if (is_container(objects[i]) && ++containers > 1) return false;
    tuples += PyTuple_CheckExact(objects[i]);
  }
  alone_ = containers + tuples <= 1;
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

void Encoder::pickled(PyObject* pickle, PyObject* buffers) {
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
  PyObject* const* const parts = PyList_CheckExact(pickle) ? PySequence_Fast_ITEMS(pickle) : &pickle;
  const Py_ssize_t part_count = PyList_CheckExact(pickle) ? PyList_GET_SIZE(pickle) : 1;
  std::size_t size = 0;
  for (Py_ssize_t i = 0; i < part_count; ++i) {
    check(PyBytes_Check(parts[i]) ? 0 : (PyErr_BadInternalCall(), -1));
    size += static_cast<std::size_t>(PyBytes_GET_SIZE(parts[i]));
  }
  const bool is_outside = size >= kOutside;
  tag(is_outside ? ValueTag::pickle_outside : ValueTag::pickle);
  if (is_outside) number(std::uint64_t{size});
  else number(static_cast<std::uint32_t>(size));
  for (Py_ssize_t i = 0; i < part_count; ++i) {
    const auto part_size = static_cast<std::size_t>(PyBytes_GET_SIZE(parts[i]));
    if (is_outside)
      externals_.push_back({PyBytes_AS_STRING(parts[i]), part_size, Object::borrowed(parts[i]), {}, i > 0});
    else raw(PyBytes_AS_STRING(parts[i]), part_size);
  }
}

std::size_t Encoder::size_with_externals() const noexcept {
  std::size_t end = head_size_;
  for (const External& external : externals_) end = external.begin_after(end) + external.size;
  return end;
}

void Encoder::write_to(std::byte* room) const { write_to(detail::Room{room, room + size(), nullptr}); }

void Encoder::write_to(const detail::Room& room) const {
  std::optional<WithoutGil> without;
  if (size() >= kMuchToCopy) without.emplace();
  const auto head_size = static_cast<std::uint32_t>(head_size_);
  Writer writer(room, size());
  writer.bytes(&head_size, sizeof head_size);
  writer.bytes(head_ + sizeof head_size, head_size_ - sizeof head_size);
  for (const External& external : externals_) {
    writer.pad_to(external.begin_after(writer.size()));
    writer.bytes(external.data, external.size);
  }
  writer.finish();
}

}  // namespace retinue::python
