#include "memory/shared_arrays.hpp"

#include <cstring>
#include <string>
#include <unordered_map>

#include <retinue/error.hpp>

#include "interpreter/helpers.hpp"
#include "memory/shared_memory.hpp"

namespace retinue::python {
namespace {

template <class T>
void append(SharedName& name, T value) noexcept {
  std::memcpy(name.bytes + name.size, &value, sizeof value);
  name.size += sizeof value;
}

/// The arrays this worker has attached, by name. What tasks get are views of them, whose shape is theirs to change.
std::unordered_map<std::string, Object>& attached() {
  static auto& all =
      *new std::unordered_map<std::string, Object>;  // never destroyed: the interpreter may be gone by then
  return all;
}
constexpr std::size_t kMaxAttached = 256;

class View {
 public:
  View() = default;
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View() {
    if (is_there_) PyBuffer_Release(&buffer_);
  }
  bool get(PyObject* object) noexcept {
    is_there_ = PyObject_GetBuffer(object, &buffer_, PyBUF_FORMAT | PyBUF_STRIDES) == 0;
    if (!is_there_) PyErr_Clear();  // a type that buffers do not know, such as dates
    return is_there_;
  }
  const Py_buffer& operator*() const noexcept { return buffer_; }

 private:
  Py_buffer buffer_;
  bool is_there_ = false;
};

// Native numbers: one letter, or a Z and one for complex ones.
bool is_plain(const char* format) noexcept {
  if (format == nullptr || *format == '\0') return false;
  if (*format == 'Z') return std::strlen(format) == 2 && std::strchr("fdg", format[1]) != nullptr;
  return format[1] == '\0' && std::strchr("?bBhHiIlLqQefdg", *format) != nullptr;
}

bool name_array(PyObject* object, SharedName& name) {
  View view;
  if (!view.get(object)) return false;
  const Py_buffer& array = *view;
  if (array.ndim > SharedName::kMaxDimensions || !is_plain(array.format)) return false;
  const auto* low = static_cast<const std::byte*>(array.buf);
  const std::byte* high = low + array.itemsize;
  for (int i = 0; i < array.ndim; ++i) {
    if (array.shape[i] == 0) return false;
    const std::ptrdiff_t reach = (array.shape[i] - 1) * array.strides[i];
    (reach < 0 ? low : high) += reach;
  }
  PyObject* const memory = find_shared_memory(low, static_cast<std::size_t>(high - low));
  if (memory == nullptr) return false;
  const SharedMemoryObject& all = shared_memory_of(memory);
  append(name, static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(all.data)));
  append(name, static_cast<std::uint64_t>(all.bytes));
  append(name, static_cast<std::uint64_t>(static_cast<const std::byte*>(array.buf) -
                                          static_cast<const std::byte*>(all.data)));
  append(name, static_cast<std::uint8_t>(array.ndim));
  append(name, array.format[0]);
  append(name, array.format[1]);
  for (int i = 0; i < array.ndim; ++i) {
    append(name, static_cast<std::uint64_t>(array.shape[i]));
    append(name, static_cast<std::int64_t>(array.strides[i]));
  }
  name.is_array = true;
  name.holder = Object::borrowed(memory);
  return true;
}

bool name_value(PyObject* object, SharedName& name) {
  static PyObject* const token_name = PyUnicode_InternFromString("_token");
  static PyObject* const memory_name = PyUnicode_InternFromString("_memory");
  const Object token(PyObject_GetAttr(object, token_name));
  if (!token || !PyBytes_CheckExact(token.get()) ||
      PyBytes_GET_SIZE(token.get()) > static_cast<Py_ssize_t>(SharedName::kMax)) {
    PyErr_Clear();
    return false;
  }
  name.size = static_cast<std::size_t>(PyBytes_GET_SIZE(token.get()));
  std::memcpy(name.bytes, PyBytes_AS_STRING(token.get()), name.size);
  name.holder = check(PyObject_GetAttr(object, memory_name));
  return true;
}

// A worker of a fresh interpreter may not have imported them.
void require_arrays() {
  if (helpers::load_shared.get() == nullptr) helpers::import_arrays();
}

Object tuple_of(const std::int64_t* numbers, int count) {
  Object tuple = check(PyTuple_New(count));
  for (int i = 0; i < count; ++i) PyTuple_SET_ITEM(tuple.get(), i, check(PyLong_FromLongLong(numbers[i])).release());
  return tuple;
}

}  // namespace

bool is_shared(const PyTypeObject* type) noexcept {
  const auto* const object = reinterpret_cast<const PyObject*>(type);
  return object == helpers::shared_array_class.get() || object == helpers::shared_value_class.get();
}

bool name_shared(PyObject* object, PyObject* scope, SharedName& name) {
  const bool is_array = reinterpret_cast<PyObject*>(Py_TYPE(object)) == helpers::shared_array_class.get();
  if (!(is_array ? name_array(object, name) : name_value(object, name))) return false;
  if (detail::is_own_shared(shared_memory_of(name.holder.get()).data)) return true;
  const Object inherits = check(PyObject_GetAttrString(scope, "inherits"));
  return inherits.get() == Py_True;
}

std::size_t rest_of_array_name(const std::byte* head) {
  const auto dimensions = static_cast<int>(head[24]);
  if (dimensions > SharedName::kMaxDimensions) throw CodecError("damaged payload: a shared array of many dimensions");
  return static_cast<std::size_t>(dimensions) * SharedName::kDimension;
}

Object attach_shared_array(std::span<const std::byte> bytes) {
  const std::byte* const head = bytes.data();
  const std::byte* const extents = head + SharedName::kHead;
  const int dimensions = static_cast<int>(head[24]);
  std::string name(reinterpret_cast<const char*>(head), bytes.size());
  auto found = attached().find(name);
  if (found == attached().end()) {
    std::uint64_t memory[3];
    std::memcpy(memory, head, sizeof memory);
    std::int64_t shape[SharedName::kMaxDimensions], strides[SharedName::kMaxDimensions];
    for (int i = 0; i < dimensions; ++i) {
      std::memcpy(&shape[i], extents + 16 * i, 8);
      std::memcpy(&strides[i], extents + 16 * i + 8, 8);
    }
    const char format[3] = {static_cast<char>(head[25]), static_cast<char>(head[26]), '\0'};
    const Object arguments[] = {check(PyLong_FromUnsignedLongLong(memory[0])),
                                check(PyLong_FromUnsignedLongLong(memory[1])),
                                check(PyLong_FromUnsignedLongLong(memory[2])),
                                tuple_of(shape, dimensions),
                                tuple_of(strides, dimensions),
                                check(PyUnicode_FromString(format))};
    require_arrays();
    Object array = helpers::attach_array(arguments[0].get(), arguments[1].get(), arguments[2].get(), arguments[3].get(),
                                         arguments[4].get(), arguments[5].get());
    if (attached().size() >= kMaxAttached) attached().clear();
    found = attached().insert_or_assign(std::move(name), std::move(array)).first;
  }
  static PyObject* const view = PyUnicode_InternFromString("view");
  return check(PyObject_CallMethodNoArgs(found->second.get(), view));
}

Object load_shared_value(std::uint64_t number, std::uint64_t address, std::uint64_t size) {
  require_arrays();
  return helpers::load_shared(check(PyLong_FromUnsignedLongLong(number)).get(),
                              check(PyLong_FromUnsignedLongLong(address)).get(),
                              check(PyLong_FromUnsignedLongLong(size)).get());
}

}  // namespace retinue::python
