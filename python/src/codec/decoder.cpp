#include "codec/decoder.hpp"

#include <retinue/detail/tasks/task_context.hpp>
#include <retinue/error.hpp>

#include "interpreter/helpers.hpp"
#include "memory/private_buffer.hpp"
#include "memory/shared_arrays.hpp"

namespace retinue::python {
namespace {

constexpr int kMaxDepth = 32;

[[noreturn]] void throw_damaged() { throw CodecError("damaged payload: it is not what was written"); }

Object text(const void* data, std::size_t length, unsigned kind) {
  if (kind == 0) {
    Object s = check(PyUnicode_New(static_cast<Py_ssize_t>(length), 127));
    std::memcpy(PyUnicode_1BYTE_DATA(s.get()), data, length);
    return s;
  }
  if (kind != 1 && kind != 2 && kind != 4) throw_damaged();
  return check(PyUnicode_FromKindAndData(static_cast<int>(kind), data, static_cast<Py_ssize_t>(length)));
}

Object bytes_of(const void* data, std::size_t n) {
  return check(PyBytes_FromStringAndSize(static_cast<const char*>(data), static_cast<Py_ssize_t>(n)));
}

Object byte_array_of(const void* data, std::size_t n) {
  return check(PyByteArray_FromStringAndSize(static_cast<const char*>(data), static_cast<Py_ssize_t>(n)));
}

}  // namespace

Decoder::Decoder(std::span<const std::byte> payload, Origin origin) : payload_(payload), origin_(std::move(origin)) {
  std::uint32_t head = 0;
  if (payload.size() < sizeof head) damaged();
  std::memcpy(&head, payload.data(), sizeof head);
  if (head < sizeof head || head > payload.size()) damaged();
  head_end_ = outside_at_ = head;
}

void Decoder::damaged() { throw_damaged(); }

const std::byte* Decoder::outside(std::size_t n) {
  const std::size_t begin = align_external(outside_at_);
  if (begin > payload_.size() || n > payload_.size() - begin) damaged();
  outside_at_ = begin + n;
  return payload_.data() + begin;
}

// The address of what lies in a block of the owner's. Nothing that comes from a worker names any.
const void* Decoder::elsewhere() {
  const auto address = number<std::uint64_t>();
  if (origin_.kind != Origin::argument) damaged();
  return reinterpret_cast<const void*>(static_cast<std::uintptr_t>(address));
}

Object Decoder::buffer() {
  const auto flags = number<std::uint8_t>();
  const auto size = number<std::uint64_t>();
  const void* data = (flags & kElsewhere) != 0 ? elsewhere() : outside(size);
  const bool read_only = (flags & kReadOnly) != 0;
  if (origin_.kind == Origin::argument || origin_.source)
    if (Object view = make_private_buffer(data, size, origin_.source, read_only)) return view;
  return read_only ? bytes_of(data, size) : byte_array_of(data, size);
}

Object Decoder::loads(const void* bytes, std::size_t n, PyObject* buffers) {
  if (origin_.task != nullptr) origin_.task->loading();
  const Object view = check(PyMemoryView_FromMemory(const_cast<char*>(static_cast<const char*>(bytes)),
                                                    static_cast<Py_ssize_t>(n), PyBUF_READ));
  return buffers != nullptr ? helpers::loads(view.get(), buffers) : helpers::loads(view.get());
}

/// Numbers in a row.
struct Decoder::Packed {
  const std::byte* data;
  std::uint32_t count;
  PackedKind kind;

  /// Calls `f` with the number of each and with what it is.
  template <class F>
  void each(F&& f) const {
    switch (kind) {
      case PackedKind::i32: return each_as<std::int32_t>(PyLong_FromLong, f);
      case PackedKind::i64: return each_as<std::int64_t>(PyLong_FromLongLong, f);
      case PackedKind::f64: return each_as<double>(PyFloat_FromDouble, f);
    }
  }
  template <class T, class Make, class F>
  void each_as(Make make, F& f) const {
    const std::byte* at = data;
    for (std::uint32_t i = 0; i < count; ++i, at += sizeof(T)) {
      T value;
      std::memcpy(&value, at, sizeof value);
      f(static_cast<Py_ssize_t>(i), check(make(value)));
    }
  }
};

Decoder::Packed Decoder::packed() {
  const auto kind = number<PackedKind>();
  const auto count = number<std::uint32_t>();
  if (kind > PackedKind::f64) damaged();
  return {take((kind == PackedKind::i32 ? std::size_t{4} : std::size_t{8}) * count), count, kind};
}

Object Decoder::shared_array() {
  const std::byte* const name = take(SharedName::kHead);
  const std::size_t rest = rest_of_array_name(name);
  take(rest);  // it lies behind
  return attach_shared_array({name, SharedName::kHead + rest});
}

Object Decoder::value(int depth) {
  if (depth > kMaxDepth) damaged();
  const auto tag = number<ValueTag>();
  switch (tag) {
    case ValueTag::none: return Object::borrowed(Py_None);
    case ValueTag::yes: return Object::borrowed(Py_True);
    case ValueTag::no: return Object::borrowed(Py_False);
    case ValueTag::small_int: return check(PyLong_FromLong(number<std::int8_t>()));
    case ValueTag::integer: return check(PyLong_FromLongLong(number<std::int64_t>()));
    case ValueTag::real: return check(PyFloat_FromDouble(number<double>()));
    case ValueTag::ascii: {
      const auto n = number<std::uint32_t>();
      return text(take(n), n, 0);
    }
    case ValueTag::text: {
      const auto kind = number<std::uint8_t>();
      const auto n = number<std::uint32_t>();
      return text(take(std::size_t{n} * kind), n, kind == 0 ? 8 : kind);
    }
    case ValueTag::text_outside: {
      const auto kind = number<std::uint8_t>();
      const auto n = number<std::uint64_t>();
      if (n > payload_.size()) damaged();
      return text(outside(n * (kind == 0 ? 1u : kind)), n, kind);
    }
    case ValueTag::bytes: {
      const auto n = number<std::uint32_t>();
      return bytes_of(take(n), n);
    }
    case ValueTag::bytes_outside: {
      const auto n = number<std::uint64_t>();
      return bytes_of(outside(n), n);
    }
    case ValueTag::bytes_elsewhere: {
      const auto n = number<std::uint64_t>();
      return bytes_of(elsewhere(), n);
    }
    case ValueTag::byte_array: {
      const auto n = number<std::uint32_t>();
      return byte_array_of(take(n), n);
    }
    case ValueTag::byte_array_outside: {
      const auto n = number<std::uint64_t>();
      return byte_array_of(outside(n), n);
    }
    case ValueTag::shared_array:
      if (origin_.kind != Origin::argument) damaged();
      return shared_array();
    case ValueTag::shared_value: {
      if (origin_.kind != Origin::argument) damaged();
      const auto number_of_value = number<std::uint64_t>();
      const auto address = number<std::uint64_t>();
      return load_shared_value(number_of_value, address, number<std::uint64_t>());
    }
    case ValueTag::tuple: {
      const auto n = number<std::uint32_t>();
      if (n > head_end_ - at_) damaged();
      Object tuple = check(PyTuple_New(n));
      for (Py_ssize_t i = 0; i < n; ++i) PyTuple_SET_ITEM(tuple.get(), i, value(depth + 1).release());
      return tuple;
    }
    case ValueTag::list: {
      const auto n = number<std::uint32_t>();
      if (n > head_end_ - at_) damaged();
      Object list = check(PyList_New(n));
      for (Py_ssize_t i = 0; i < n; ++i) PyList_SET_ITEM(list.get(), i, value(depth + 1).release());
      return list;
    }
    case ValueTag::packed_tuple: {
      const Packed row = packed();
      Object tuple = check(PyTuple_New(row.count));
      row.each([&](Py_ssize_t i, Object item) { PyTuple_SET_ITEM(tuple.get(), i, item.release()); });
      return tuple;
    }
    case ValueTag::packed_list: {
      const Packed row = packed();
      Object list = check(PyList_New(row.count));
      row.each([&](Py_ssize_t i, Object item) { PyList_SET_ITEM(list.get(), i, item.release()); });
      return list;
    }
    case ValueTag::set:
    case ValueTag::frozen_set: {
      const Object items = value(depth + 1);
      if (!PyTuple_CheckExact(items.get())) damaged();
      return check(tag == ValueTag::set ? PySet_New(items.get()) : PyFrozenSet_New(items.get()));
    }
    case ValueTag::dict: {
      const auto n = number<std::uint32_t>();
      Object dict = check(PyDict_New());
      for (std::uint32_t i = 0; i < n; ++i) {
        const Object key = value(depth + 1);
        const Object item = value(depth + 1);
        check(PyDict_SetItem(dict.get(), key.get(), item.get()));
      }
      return dict;
    }
    case ValueTag::numbered_dict: {
      if (number<ValueTag>() != ValueTag::packed_tuple) damaged();
      const Packed keys = packed();
      const Object values = value(depth + 1);
      if (!PyTuple_CheckExact(values.get()) || PyTuple_GET_SIZE(values.get()) != keys.count) damaged();
      Object dict = check(PyDict_New());
      keys.each([&](Py_ssize_t i, const Object& key) {
        check(PyDict_SetItem(dict.get(), key.get(), PyTuple_GET_ITEM(values.get(), i)));
      });
      return dict;
    }
    case ValueTag::pickle: {
      const auto n = number<std::uint32_t>();
      return loads(take(n), n, nullptr);
    }
    case ValueTag::pickle_outside: {
      const auto n = number<std::uint64_t>();
      return loads(outside(n), n, nullptr);
    }
    case ValueTag::pickle_with_buffers: {
      const auto n = number<std::uint32_t>();
      if (n > head_end_ - at_) damaged();
      const Object buffers = check(PyList_New(0));
      for (std::uint32_t i = 0; i < n; ++i) {
        const Object one = buffer();
        check(PyList_Append(buffers.get(), one.get()));
      }
      switch (number<ValueTag>()) {
        case ValueTag::pickle: {
          const auto size = number<std::uint32_t>();
          return loads(take(size), size, buffers.get());
        }
        case ValueTag::pickle_outside: {
          const auto size = number<std::uint64_t>();
          return loads(outside(size), size, buffers.get());
        }
        default: damaged();
      }
    }
  }
  damaged();
}

}  // namespace retinue::python
