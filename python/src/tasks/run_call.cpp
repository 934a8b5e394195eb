// Runs one call, in a worker.
#include "tasks/run_call.hpp"

#include <atomic>
#include <cstring>
#include <list>
#include <unordered_map>

#include <retinue/detail/codec/entry.hpp>
#include <retinue/detail/memory/private_memory.hpp>
#include <retinue/detail/tasks/task_context.hpp>
#include <retinue/error.hpp>

#include "codec/decoder.hpp"
#include "interpreter/helpers.hpp"
#include "tasks/calls.hpp"

namespace retinue::python {
namespace {

constexpr Reach kOwner = Reach::same_region;  // who reads results has made the memory

bool ran = false;

// What the task calls; read when it crashes.
std::atomic<PyObject*> function_at_hand{nullptr};

/// The functions this worker has loaded, by the owner's ids: the latest, as many as keep within limits. Releasing one
/// may run its code (`__del__`), so that is done last.
class Loaded {
 public:
  PyObject* find(std::uint64_t id) noexcept {
    if (id == last_id_) return last_;
    const auto known = by_id_.find(id);
    if (known == by_id_.end()) return nullptr;
    latest_first_.splice(latest_first_.begin(), latest_first_, known->second);
    last_id_ = id;
    return last_ = known->second->function.get();
  }
  /// `size`: of its pickle.
  PyObject* add(std::uint64_t id, Object function, std::size_t size) {
    std::list<Entry> gone;
    while (latest_first_.size() >= kMin && (latest_first_.size() >= kMax || bytes_ + size > kMaxBytes)) {
      bytes_ -= latest_first_.back().size;
      by_id_.erase(latest_first_.back().id);
      gone.splice(gone.begin(), latest_first_, std::prev(latest_first_.end()));
    }
    latest_first_.push_front({id, size, std::move(function)});
    by_id_.insert_or_assign(id, latest_first_.begin());
    bytes_ += size;
    last_id_ = id;
    return last_ = latest_first_.front().function.get();
  }
  /// A worker of a worker inherits what that one has loaded, under another owner's ids.
  void forget() noexcept {
    by_id_.clear();
    bytes_ = last_id_ = 0;
    const auto gone = std::exchange(latest_first_, {});
  }

 private:
  struct Entry {
    std::uint64_t id;
    std::size_t size;
    Object function;
  };
  static constexpr std::size_t kMax = 2048;
  static constexpr std::size_t kMin = 2;  // however large: two maps may be under way
  static constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
  std::list<Entry> latest_first_;
  std::unordered_map<std::uint64_t, std::list<Entry>::iterator> by_id_;
  std::size_t bytes_ = 0;
  std::uint64_t last_id_ = 0;
  PyObject* last_ = nullptr;
};

Loaded& loaded() {
  static auto& all = *new Loaded;  // never destroyed: the interpreter may be gone by then
  return all;
}

Object load(const void* bytes, std::size_t n) {
  const Object view = check(PyMemoryView_FromMemory(const_cast<char*>(static_cast<const char*>(bytes)),
                                                    static_cast<Py_ssize_t>(n), PyBUF_READ));
  return helpers::load_function(view.get());
}

Object read_function(detail::TaskContext& context, Decoder& call, FunctionKind kind) {
  if (kind == FunctionKind::here) {
    const auto n = call.number<std::uint32_t>();
    context.loading();
    return load(call.take(n), n);
  }
  std::uint64_t id = 0;
  std::size_t size = 0;
  const std::byte* bytes = nullptr;
  if (kind == FunctionKind::cached) {
    id = call.number<std::uint64_t>();
    size = call.number<std::uint32_t>();
    bytes = call.take(size);
  } else {
    const auto* const block = reinterpret_cast<const std::byte*>(call.number<std::uint64_t>());
    std::uint64_t head[2];
    static_assert(sizeof head == kBlockHead);
    std::memcpy(head, block, sizeof head);
    id = head[0];
    size = head[1];
    bytes = block + kBlockHead;
  }
  PyObject* known = loaded().find(id);
  if (known == nullptr) {
    context.loading();
    known = loaded().add(id, load(bytes, size), size);
  }
  return Object::borrowed(known);
}

Object read_values(Decoder& call, std::uint32_t count) {
  if (count > (1u << 24)) throw CodecError("damaged payload: a call with very many arguments");
  Object tuple = check(PyTuple_New(count));
  for (Py_ssize_t i = 0; i < count; ++i) PyTuple_SET_ITEM(tuple.get(), i, call.value().release());
  return tuple;
}

Object call_with_values(detail::TaskContext& context, Decoder& call, PyObject* function) {
  constexpr std::size_t kFew = 8;
  const auto count = call.number<std::uint32_t>();
  PyObject* few[kFew + 1];
  if (count > kFew) {
    const Object all = read_values(call, count);
    context.loaded();
    return check(PyObject_Call(function, all.get(), nullptr));
  }
  if (count == 1) {
    const Object only = call.value();
    few[1] = only.get();
    context.loaded();
    return check(PyObject_Vectorcall(function, few + 1, 1 | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
  }
  Object held[kFew];
  for (std::size_t i = 0; i < count; ++i) {
    held[i] = call.value();
    few[i + 1] = held[i].get();
  }
  context.loaded();
  return check(PyObject_Vectorcall(function, few + 1, count | PY_VECTORCALL_ARGUMENTS_OFFSET, nullptr));
}

Object read_tuple(Decoder& call) {
  const auto count = call.number<std::uint32_t>();
  if (count == kInTuple) {
    Object tuple = call.value();
    if (!PyTuple_CheckExact(tuple.get())) throw CodecError("damaged payload: arguments that are no tuple");
    return tuple;
  }
  return read_values(call, count);
}

Object make_call(detail::TaskContext& context, Decoder& call, PyObject* function) {
  switch (call.number<ArgumentsKind>()) {
    case ArgumentsKind::values: return call_with_values(context, call, function);
    case ArgumentsKind::tuple: {
      const Object all = call.value();
      context.loaded();
      return check(PyObject_Call(function, all.get(), nullptr));
    }
    case ArgumentsKind::with_names: {
      const Object both = call.value();
      if (!PyTuple_Check(both.get()) || PyTuple_GET_SIZE(both.get()) != 2) break;
      context.loaded();
      return check(PyObject_Call(function, PyTuple_GET_ITEM(both.get(), 0), PyTuple_GET_ITEM(both.get(), 1)));
    }
    case ArgumentsKind::bound: {
      const Object both = call.value();
      if (!PyTuple_Check(both.get()) || PyTuple_GET_SIZE(both.get()) != 2) break;
      const Object all = check(PySequence_Concat(PyTuple_GET_ITEM(both.get(), 0), read_tuple(call).get()));
      context.loaded();
      return check(PyObject_Call(function, all.get(), PyTuple_GET_ITEM(both.get(), 1)));
    }
    case ArgumentsKind::star: {
      const Object all = check(PySequence_Tuple(call.value().get()));
      context.loaded();
      return check(PyObject_Call(function, all.get(), nullptr));
    }
  }
  throw CodecError("damaged payload: arguments of no known kind");
}

void send(detail::TaskContext& context, const Encoder& result) { result.write_to(context.result_room(result.size())); }

void send_error(detail::TaskContext& context) {
  const Object error = take_error();
  Object description;
  try {
    description = helpers::describe_error(error.get());
  } catch (const PythonError&) {  // even that failed, say for want of memory
    PyErr_Clear();
    description =
        check(Py_BuildValue("(Osss)", Py_None, Py_TYPE(error.get())->tp_name, "(it could not be reported)", ""));
  }
  Encoder result(nullptr, kOwner);
  result.number(ResultKind::exception);
  result.value(description.get());
  send(context, result);
}

/// At the end of a call: arguments that the task has kept somewhere must no longer depend on its payload.
struct CompleteBorrowedAtScopeEnd {
  CompleteBorrowedAtScopeEnd() = default;
  CompleteBorrowedAtScopeEnd(const CompleteBorrowedAtScopeEnd&) = delete;
  CompleteBorrowedAtScopeEnd& operator=(const CompleteBorrowedAtScopeEnd&) = delete;
  ~CompleteBorrowedAtScopeEnd() { detail::complete_borrowed(); }
};

void run_call(detail::TaskContext& context) {
  ran = true;
  function_at_hand.store(nullptr, std::memory_order_relaxed);
  const CompleteBorrowedAtScopeEnd at_scope_end;
  try {
    Object value;
    {
      Decoder call(context.arguments(), {.kind = Origin::argument, .task = &context});
      const auto kind = call.number<FunctionKind>();
      if (kind == FunctionKind::raise) {
        Encoder result(nullptr, kOwner);
        result.number(ResultKind::exception);
        result.value(call.value().get());
        return send(context, result);
      }
      const Object function = read_function(context, call, kind);
      function_at_hand.store(function.get(), std::memory_order_relaxed);
      value = make_call(context, call, function.get());
    }
    std::byte scalar[kMaxScalarOutcome];
    if (const std::size_t size = write_scalar_outcome(value.get(), scalar); size != 0) {
      std::memcpy(context.result(size), scalar, size);
      return;
    }
    Encoder result(nullptr, kOwner);
    result.number(ResultKind::value);
    result.value(value.get());
    send(context, result);
  } catch (const PythonError&) {
    try {
      send_error(context);
    } catch (const PythonError&) {
      PyErr_Clear();
      throw Error("the task's exception could not be reported");
    }
  }
}

}  // namespace

bool has_run_calls() noexcept { return std::exchange(ran, false); }

PyObject* running_function() noexcept { return function_at_hand.load(std::memory_order_relaxed); }

void forget_loaded_functions() noexcept { loaded().forget(); }

detail::EntryRef call_entry() {
  static const detail::EntryRef entry = detail::name_code(reinterpret_cast<const void*>(&run_call));
  return entry;
}

}  // namespace retinue::python
