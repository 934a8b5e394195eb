#include "tasks/calls.hpp"

#include <atomic>
#include <cstring>

#include <retinue/error.hpp>

#include "codec/decoder.hpp"
#include "interpreter/helpers.hpp"

namespace retinue::python {
namespace {

constexpr std::size_t kMaxInline = 96;

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

template <class T>
void append(std::string& s, T value) {
  s.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// What function_bytes says of a function: 0 travels each time, 1 its identity, 2 its content stands for it.
enum class State { carried, none, content };

struct Described {
  Object bytes;
  State state;
  Object kept;

  std::shared_ptr<Function> function(PyObject* callable, FunctionKind kind, Reach reach) const {
    return std::make_shared<Function>(callable, kind, reach, PyBytes_AS_STRING(bytes.get()),
                                      static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get())), kept);
  }
};

Described describe(PyObject* callable, PyObject* scope, bool again) {
  const Object all = helpers::function_bytes(callable, scope, again ? Py_True : Py_False);
  const long state = PyLong_AsLong(PyTuple_GET_ITEM(all.get(), 1));
  if (state < 0 || state > 2) throw PythonError{};
  PyObject* kept = PyTuple_GET_ITEM(all.get(), 2);
  return {Object::borrowed(PyTuple_GET_ITEM(all.get(), 0)), static_cast<State>(state),
          kept == Py_None ? Object() : Object::borrowed(kept)};
}

}  // namespace

Object tuple_of(PyObject* const* objects, std::size_t count) {
  Object tuple = check(PyTuple_New(static_cast<Py_ssize_t>(count)));
  for (std::size_t i = 0; i < count; ++i)
    PyTuple_SET_ITEM(tuple.get(), static_cast<Py_ssize_t>(i), Py_NewRef(objects[i]));
  return tuple;
}

Function::Function(PyObject* callable, FunctionKind kind, Reach reach, const char* bytes, std::size_t size, Object kept)
    : kept_(std::move(kept)) {
  check_reach(reach, kept_.get());
  if (callable != nullptr) {
    callable_ = Object(PyWeakref_NewRef(callable, nullptr));
    if (!callable_) PyErr_Clear();  // then it is never known again
  }
  if (kind == FunctionKind::cached && size > kMaxInline && reach == Reach::same_region) {
    write_block(next_id(), bytes, size);
    return;
  }
  append(prefix_, kind);
  if (kind == FunctionKind::cached) append(prefix_, next_id());
  append(prefix_, static_cast<std::uint32_t>(size));
  prefix_.append(bytes, size);
}

void Function::write_block(std::uint64_t id, const char* bytes, std::size_t size) {
  const std::uint64_t head[] = {id, size};
  static_assert(sizeof head == kBlockHead);
  block_ = detail::allocate_for_workers(sizeof head + size);
  std::memcpy(block_.data, head, sizeof head);
  std::memcpy(static_cast<std::byte*>(block_.data) + sizeof head, bytes, size);
  append(prefix_, FunctionKind::in_block);
  append(prefix_, reinterpret_cast<std::uint64_t>(block_.data));
}

FunctionRef Function::in_block(FunctionRef function, Reach reach) {
  const std::string& prefix = function->prefix_;
  if (static_cast<FunctionKind>(prefix.front()) != FunctionKind::cached || reach != Reach::same_region) return function;
  std::uint64_t id = 0;
  std::memcpy(&id, prefix.data() + sizeof(FunctionKind), sizeof id);
  constexpr std::size_t kBefore = sizeof(FunctionKind) + sizeof id + sizeof(std::uint32_t);
  try {
    const std::shared_ptr<Function> copy(new Function);
    copy->write_block(id, prefix.data() + kBefore, prefix.size() - kBefore);
    copy->kept_ = function->kept_;
    return copy;
  } catch (const ResourceExhausted&) {
    return function;
  }
}

bool Function::is_of(PyObject* callable) const noexcept {
  if (!callable_) return false;
#if PY_VERSION_HEX >= 0x030d0000
  PyObject* found = nullptr;
  const bool same = PyWeakref_GetRef(callable_.get(), &found) > 0 && found == callable;
  Py_XDECREF(found);
  return same;
#else
  return PyWeakref_GET_OBJECT(callable_.get()) == callable;
#endif
}

Function::~Function() {
  if (block_.data != nullptr) detail::free_shared(block_);
}

FunctionRef Functions::for_submit(PyObject* callable, PyObject* scope, Reach reach, bool again) {
  if (const auto known = by_identity_.find(callable); known != by_identity_.end() && known->second->is_of(callable))
    return known->second;
  const Described d = describe(callable, scope, again);
  if (d.state == State::carried) return d.function(callable, FunctionKind::here, reach);
  if (d.state == State::none) {
    if (by_identity_.size() >= kMax) const auto gone = std::exchange(by_identity_, {});
    auto function = d.function(callable, FunctionKind::cached, reach);
    by_identity_.insert_or_assign(callable, function);
    return function;
  }
  std::string content(PyBytes_AS_STRING(d.bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(d.bytes.get())));
  if (const auto known = by_content_.find(content); known != by_content_.end()) return known->second;
  auto function = d.function(nullptr, FunctionKind::cached, reach);
  const std::size_t bytes = content.size();
  if (by_content_.size() >= kMax || content_bytes_ + bytes > kMaxBytes) {
    content_bytes_ = 0;
    const auto gone = std::exchange(by_content_, {});  // futures keep what they need
  }
  if (by_content_.emplace(std::move(content), function).second) content_bytes_ += bytes;
  return function;
}

FunctionRef Functions::for_map(PyObject* callable, PyObject* scope, Reach reach) {
  if (const auto known = by_identity_.find(callable); known != by_identity_.end() && known->second->is_of(callable))
    return Function::in_block(known->second, reach);
  const Described d = describe(callable, scope, true);
  const bool holds_descriptors = d.kept && !PyList_CheckExact(d.kept.get());
  auto function = d.function(callable, holds_descriptors ? FunctionKind::here : FunctionKind::cached, reach);
  if (d.state == State::none && by_identity_.size() < kMax) by_identity_.insert_or_assign(callable, function);
  return Function::in_block(std::move(function), reach);
}

void write_arguments(Encoder& encoder, PyObject* const* arguments, std::size_t count, PyObject* names) {
  const std::size_t named = names != nullptr ? static_cast<std::size_t>(PyTuple_GET_SIZE(names)) : 0;
  if (named != 0) {
    const Object dict = check(PyDict_New());
    for (std::size_t i = 0; i < named; ++i)
      check(PyDict_SetItem(dict.get(), PyTuple_GET_ITEM(names, static_cast<Py_ssize_t>(i)), arguments[count + i]));
    const Object tuple = tuple_of(arguments, count);
    const Object both = check(PyTuple_Pack(2, tuple.get(), dict.get()));
    encoder.number(ArgumentsKind::with_names);
    return encoder.value(both.get());
  }
  const std::size_t begin = encoder.position();
  encoder.number(ArgumentsKind::values);
  encoder.number(static_cast<std::uint32_t>(count));
  if (encoder.values(arguments, count)) return;
  if (count == 1) return encoder.value(arguments[0]);
  encoder.rewind(begin);
  encoder.number(ArgumentsKind::tuple);
  encoder.value(tuple_of(arguments, count).get());
}

void write_arguments_after(Encoder& encoder, std::string_view bound, PyObject* const* arguments, std::size_t count) {
  encoder.raw(bound.data(), bound.size());
  const std::size_t begin = encoder.position();
  encoder.number(static_cast<std::uint32_t>(count));
  if (encoder.values(arguments, count)) return;
  encoder.rewind(begin);
  encoder.number(kInTuple);
  encoder.value(tuple_of(arguments, count).get());
}

void write_raise(Encoder& encoder, PyObject* error) {
  encoder.number(FunctionKind::raise);
  encoder.value(helpers::describe_error(error).get());
}

PyObject* encode_call(PyObject*, PyObject* arguments) noexcept {
  return guarded([&]() -> PyObject* {
    PyObject *callable = nullptr, *values = nullptr, *scope = nullptr;
    int same_region = 0;
    if (!PyArg_ParseTuple(arguments, "OO!Op:_encode_call", &callable, &PyTuple_Type, &values, &scope, &same_region))
      return nullptr;
    const Reach reach = same_region != 0 ? Reach::same_region : Reach::bytes_only;
    Functions functions;
    Encoder encoder(scope, reach);
    const FunctionRef function = functions.for_submit(callable, scope, reach, false);
    function->write(encoder);
    write_arguments(encoder, PySequence_Fast_ITEMS(values), static_cast<std::size_t>(PyTuple_GET_SIZE(values)),
                    nullptr);
    Object bytes = check(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(encoder.size())));
    encoder.write_to(reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes.get())));
    return bytes.release();
  });
}

Outcome read_outcome(std::span<const std::byte> payload, std::shared_ptr<const void> source) {
  if (Object value = read_scalar_outcome(payload)) return {std::move(value), Object()};
  Decoder decoder(payload, {Origin::result, std::move(source)});
  if (decoder.number<ResultKind>() == ResultKind::value) return {decoder.value(), Object()};
  const Object description = decoder.value();
  return {Object(), helpers::rebuild_error(description.get())};
}

bool concerns_value() noexcept { return PyErr_ExceptionMatches(PyExc_Exception) != 0; }

}  // namespace retinue::python
