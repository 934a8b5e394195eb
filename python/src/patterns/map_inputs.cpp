// What a map is given as inputs, and how each is read and encoded.
#include <algorithm>
#include <cstring>
#include <tuple>

#include <retinue/error.hpp>

#include "interpreter/helpers.hpp"
#include "memory/shared_memory.hpp"
#include "patterns/map.hpp"
#include "tasks/failing_call.hpp"
#include "tasks/run_call.hpp"

namespace retinue::python {
namespace {

Object next_of(PyObject* iterator) {
  Object item(in_python([iterator] { return Py_TYPE(iterator)->tp_iternext(iterator); }));
  if (!item && PyErr_Occurred() != nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_StopIteration)) throw PythonError{};
    PyErr_Clear();
  }
  return item;
}

bool is_repeat(PyObject* iterator) {
  return Py_TYPE(iterator) == reinterpret_cast<PyTypeObject*>(helpers::repeat_class.get());
}

// What it gives is there already: reading it runs no code of the caller's.
bool is_pure(PyObject* iterator) {
  const PyTypeObject* const type = Py_TYPE(iterator);
  return type == &PyListIter_Type || type == &PyTupleIter_Type || type == &PyRangeIter_Type ||
         type == &PyLongRangeIter_Type || is_repeat(iterator) ||
         type == reinterpret_cast<PyTypeObject*>(helpers::count_class.get());
}

bool are_pure(PyObject* iterators) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(iterators); ++i)
    if (!is_pure(PyTuple_GET_ITEM(iterators, i))) return false;
  return true;
}

// How many items a pure iterator (one that runs no code of the program's) has left, or -1 if it has no end.
Py_ssize_t items_of(PyObject* iterator) {
  const Py_ssize_t n = PyObject_LengthHint(iterator, -1);
  if (n < 0 && PyErr_Occurred() != nullptr) throw PythonError{};
  return n;
}

/// When an item is staged: what it names, and exports of its buffers, are not held for longer.
struct ForgetsItem {
  std::size_t keep;
  void operator()(Encoder* encoder) const noexcept { encoder->begin_again(keep); }
};

}  // namespace

// Other iterators in place of those over lists, which may change: over what is left of them now.
Object with_lists_as_they_are_now(PyObject* iterators) {
  const Py_ssize_t count = PyTuple_GET_SIZE(iterators);
  Object all = check(PyTuple_New(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* iterator = PyTuple_GET_ITEM(iterators, i);
    if (Py_TYPE(iterator) == &PyListIter_Type) {
      const Object rest = check(PySequence_Tuple(iterator));
      PyTuple_SET_ITEM(all.get(), i, check(PyObject_GetIter(rest.get())).release());
    } else {
      PyTuple_SET_ITEM(all.get(), i, Py_NewRef(iterator));
    }
  }
  return all;
}

void take_inputs(MapPlan& plan, PyObject* iterables, Reading reading) {
  const Py_ssize_t count = PyTuple_GET_SIZE(iterables);
  plan.iterators = check(PyTuple_New(count));
  bool pure = true, held = false, end = false;
  for (Py_ssize_t i = 0; i < count; ++i) {
    PyObject* iterable = PyTuple_GET_ITEM(iterables, i);
    Object iterator = check(in_python([iterable] { return PyObject_GetIter(iterable); }));
    if (is_pure(iterator.get())) {
      const Py_ssize_t left = items_of(iterator.get());
      if (left >= 0) {
        end = true;
        plan.length = std::min(plan.length, static_cast<std::size_t>(left));
      }
      // An iterator that the caller has too, and may go on with after the map: the tuple of iterables has one
      // reference, and `iterator` one.
      const bool changes = left >= 0 || !is_repeat(iterator.get());
      if (iterator.get() == iterable && changes && Py_REFCNT(iterable) > 2) held = true;
    } else {
      pure = false;
      if (const Py_ssize_t length = in_python([iterable] { return PyObject_Size(iterable); }); length >= 0)
        plan.length = std::min(plan.length, static_cast<std::size_t>(length));
      else if (concerns_value()) PyErr_Clear();
      else throw PythonError{};
    }
    PyTuple_SET_ITEM(plan.iterators.get(), i, iterator.release());
  }
  const bool settled = pure && !(held && end);
  plan.reading = settled ? Reading::lazily : reading;
  if (settled && reading != Reading::lazily) plan.iterators = with_lists_as_they_are_now(plan.iterators.get());
}

MapTasks::MapTasks(MapPlan plan)
    : plan_(std::move(plan)),
      window_(plan_.core->open_map(call_entry(), plan_.options, plan_.order)),
      pure_(are_pure(plan_.iterators.get())),
      common_(pure_),
      item_(plan_.scope.get(), plan_.core->reach(), &common_, plan_.options.retries.value_or(0) != 0) {
  write_prefix();
}

// Once: each task's payload begins with the same bytes.
void MapTasks::write_prefix() {
  const std::size_t begin = item_.position();
  plan_.function->write(item_);
  if (plan_.bound) {
    has_bound_ = true;
    check_reach(plan_.core->reach(), PyTuple_GET_ITEM(plan_.bound.get(), 3));
    item_.number(ArgumentsKind::bound);
    item_.pickled(PyTuple_GET_ITEM(plan_.bound.get(), 1), PyTuple_GET_ITEM(plan_.bound.get(), 2));
    bound_kept_ = Object::borrowed(PyTuple_GET_ITEM(plan_.bound.get(), 3));
    bound_blocks_ = common_.end_task().first;
    plan_.bound = Object();
  }
  prefix_ = item_.written_since(begin);
  const std::size_t end = item_.position();
  if (!has_bound_) item_.number(ArgumentsKind::values);
  item_.number(std::uint32_t{1});
  before_scalar_.assign(begin, '\0');
  before_scalar_ += item_.written_since(begin);
  item_.begin_again(end);
}

bool MapTasks::goes_to_calls() const noexcept {
  return has_reader_ ||
         (in_call_ && (!calls_.empty() || window_->outstanding() >= kMaxSubmitted || window_->is_heavy()));
}

void MapTasks::keep_in_window(detail::KeptMemory kept, std::size_t bytes) {
  kept.insert(kept.end(), bound_blocks_.begin(), bound_blocks_.end());
  window_->keep_for_last(std::move(kept), bytes);
}

// Shared memory that this map keeps from now on.
std::size_t MapTasks::new_bytes_of(PyObject* kept) {
  std::size_t bytes = 0;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(kept); ++i)
    if (PyObject* memory = PyList_GET_ITEM(kept, i);
        Py_TYPE(memory) == &SharedMemoryType && counted_.insert(memory).second)
      bytes += static_cast<std::size_t>(shared_memory_of(memory).bytes);
  return bytes;
}

void MapTasks::stage_encoded(const Encoder& encoder, Payload payload) {
  const std::size_t size = encoder.size(), head = sizeof(std::uint32_t) + prefix_.size();
  const bool whole = payload == Payload::whole || size != encoder.position();
  const bool later = goes_to_calls();
  if (!later) {
    encoder.write_to(window_->stage(size));
  } else if (whole) {
    encoder.write_to(calls_.reserve(size, true));
  } else {
    const std::string_view arguments = encoder.written_since(head);
    std::memcpy(calls_.reserve(arguments.size(), false), arguments.data(), arguments.size());
  }
  staged_bytes_ += Records::kHead + (whole ? size : size - head);
  detail::KeptMemory memory;
  std::size_t bytes = 0;
  if (common_.placed().blocks != 0) {
    std::tie(memory, bytes) = common_.end_task();
    staged_bytes_ += bytes + sizeof(Named);
  }
  if (encoder.kept()) {
    constexpr std::size_t kAbout = 128;  // an entry, and a list of one
    staged_bytes_ += kAbout;
    if (in_call_) staged_bytes_ += new_bytes_of(encoder.kept().get());
    kept_.emplace(staged_, encoder.kept());
  }
  if (!later) {
    if (!memory.empty() || !bound_blocks_.empty()) keep_in_window(std::move(memory), bytes);
  } else {
    if (!memory.empty()) {
      calls_name_.push_back({staged_, std::move(memory), bytes});
      named_bytes_ += bytes;
    }
    calls_.commit();
  }
  ++staged_;
}

// An item that cannot be sent fails in its place: it travels as the exception that its task will end with.
void MapTasks::stage_error(const Object& error) {
  common_.begin_task(nullptr, 0, false);
  with_failing_call(error.get(), plan_.core->reach(),
                    [this](const Encoder& encoder) { stage_encoded(encoder, Payload::whole); });
}

// False if it is something else than a number or the like, or cannot go into the window now.
bool MapTasks::stage_scalar(PyObject* argument) {
  std::byte scalar[kMaxScalar];
  const std::size_t n = goes_to_calls() ? 0 : write_scalar(argument, scalar);
  if (n == 0) return false;
  const auto size = static_cast<std::uint32_t>(before_scalar_.size() + n);
  std::byte* const room = window_->stage(size);
  std::memcpy(room, before_scalar_.data(), before_scalar_.size());
  std::memcpy(room, &size, sizeof size);
  std::memcpy(room + before_scalar_.size(), scalar, n);
  staged_bytes_ += Records::kHead + size - (sizeof size + prefix_.size());
  if (!bound_blocks_.empty()) keep_in_window({}, 0);
  ++staged_;
  return true;
}

void MapTasks::stage(PyObject* const* arguments, std::size_t count, bool ready) {
  std::exception_ptr no_memory;
  try {
    if (count == 1 && stage_scalar(arguments[0])) return;
    const std::unique_ptr<Encoder, ForgetsItem> item(&item_, ForgetsItem{sizeof(std::uint32_t) + prefix_.size()});
    common_.begin_task(arguments, count, ready);
    if (has_bound_) write_arguments_after(item_, {}, arguments, count);
    else write_arguments(item_, arguments, count, nullptr);
    return stage_encoded(item_, Payload::behind_prefix);
  } catch (const PythonError&) {
    if (!concerns_value()) throw;
  } catch (const ResourceExhausted&) {
    no_memory = std::current_exception();
  }
  if (no_memory && common_.forget_last()) return stage(arguments, count, ready);
  if (no_memory && !nothing_under_way()) return defer(arguments, count);
  stage_error(no_memory ? error_object(no_memory) : take_error());
}

// Nothing will end and free its memory. The reader may look at the window only while nobody else does.
bool MapTasks::nothing_under_way() const noexcept {
  if (!calls_.empty()) return false;
  if (!has_reader_) return window_->is_empty();
  if (consumer_waits_) return nothing_waits_;
  return !busy_ && window_ != nullptr && window_->is_empty();
}

// Until a task has ended, and with it what it was given.
void MapTasks::defer(PyObject* const* arguments, std::size_t count) {
  common_.begin_task(nullptr, 0, false);
  pending_ = tuple_of(arguments, count);
  if (!has_reader_) window_->pause_inputs();
}

void MapTasks::stage_star(PyObject* arguments) {
  if (PyTuple_CheckExact(arguments)) return stage_tuple(arguments, true);
  const Object tuple(in_python([arguments] { return PySequence_Tuple(arguments); }));
  if (tuple) return stage_tuple(tuple.get(), PyList_CheckExact(arguments) != 0);
  if (!concerns_value()) throw PythonError{};
  stage_error(take_error());
}

void MapTasks::stage_tuple(PyObject* arguments, bool ready) {
  stage(reinterpret_cast<PyTupleObject*>(arguments)->ob_item, static_cast<std::size_t>(PyTuple_GET_SIZE(arguments)),
        ready);
}

bool MapTasks::read_one() {
  if (pending_) {
    stage_star(std::exchange(pending_, Object()).get());
    return true;
  }
  PyObject* iterators = plan_.iterators.get();
  const Py_ssize_t count = PyTuple_GET_SIZE(iterators);
  if (count == 1) {
    const Object item = next_of(PyTuple_GET_ITEM(iterators, 0));
    if (!item) return false;
    PyObject* argument = item.get();
    if (plan_.star) stage_star(argument);
    else stage(&argument, 1, true);
    return true;
  }
  const Object items = check(PyTuple_New(count));
  for (Py_ssize_t i = 0; i < count; ++i) {
    Object item = next_of(PyTuple_GET_ITEM(iterators, i));
    if (!item) return false;
    PyTuple_SET_ITEM(items.get(), i, item.release());
  }
  stage_star(items.get());
  return true;
}

}  // namespace retinue::python
