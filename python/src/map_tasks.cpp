#include <chrono>
#include <thread>
#include <vector>

#include <retinue/process_pool.hpp>
#include <retinue/detail/pool/private_memory.hpp>

#include "held_until_done.hpp"
#include "map.hpp"
#include "result_source.hpp"

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

Helper note_item{"retinue._remote", "note_item"};
Helper repeat_type{"itertools", "repeat"};
Helper count_type{"itertools", "count"};

// True if what they give is there already: reading them runs no code of the caller's, which might change it.
bool are_quiet(PyObject* iterators) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(iterators); ++i) {
    PyTypeObject* const type = Py_TYPE(PyTuple_GET_ITEM(iterators, i));
    if (type != &PyListIter_Type && type != &PyTupleIter_Type && type != &PyRangeIter_Type && type != &PyLongRangeIter_Type &&
        type != reinterpret_cast<PyTypeObject*>(repeat_type.get()) && type != reinterpret_cast<PyTypeObject*>(count_type.get()))
      return false;
  }
  return true;
}

}  // namespace

class MapTasks::Busy {
 public:
  explicit Busy(MapTasks& tasks) : tasks_(tasks) {
    if (tasks.busy_) {
      PyErr_SetString(PyExc_ValueError, "this map is being read already, by another thread or by its own inputs");
      throw PythonError{};
    }
    tasks.busy_ = true;
  }
  ~Busy() { tasks_.busy_ = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  MapTasks& tasks_;
};

MapTasks::MapTasks(MapPlan plan)
    : plan_(std::move(plan)),
      window_(std::make_unique<detail::MapWindow>(plan_.core, call_entry(), plan_.options, plan_.order)),
      common_(are_quiet(plan_.iterators.get())) {
  if (plan_.bound) write_bound();
}

// Once: each task's payload begins with the same bytes.
void MapTasks::write_bound() {
  Encoder encoder(plan_.scope.get(), &common_);
  const std::size_t begin = encoder.position();
  encoder.number(ArgumentsKind::bound);
  encoder.pickled(PyTuple_GET_ITEM(plan_.bound.get(), 1), PyTuple_GET_ITEM(plan_.bound.get(), 2));
  bound_ = encoder.written_since(begin);
  bound_kept_ = Object::borrowed(PyTuple_GET_ITEM(plan_.bound.get(), 3));
  bound_blocks_ = common_.end_task().first;
  plan_.bound = Object();
}

void MapTasks::stage_encoded(const Encoder& encoder) {
  const std::size_t size = encoder.size();
  encoder.write_to(window_->stage(size));
  staged_bytes_ += size;
  if (common_.placed().blocks != 0 || !bound_blocks_.empty()) {
    auto [kept, bytes] = common_.end_task();
    kept.insert(kept.end(), bound_blocks_.begin(), bound_blocks_.end());
    window_->keep_for_last(std::move(kept), bytes);
    staged_bytes_ += bytes;
  }
  if (encoder.kept()) kept_.emplace(staged_, encoder.kept());
  ++staged_;
}

// Tasks that are running go on, with what they need.
void MapTasks::leave_to_engine() noexcept {
  if (window_ == nullptr) return;
  if (interrupted_) window_->end_at_once();
  try {
    std::vector<Object> all;
    all.reserve(kept_.size() + 1);
    for (auto& [_, kept] : kept_) all.push_back(std::move(kept));
    if (bound_kept_) all.push_back(std::exchange(bound_kept_, Object()));
    if (!all.empty() || plan_.function->must_be_kept())
      window_->keep(std::make_shared<HeldUntilDone>(plan_.function, std::move(all)));
    kept_.clear();
  } catch (const std::bad_alloc&) {
    // Nothing is left to hold it with; it goes too early.
  }
  window_.reset();
}

// An item that cannot be sent fails in its place: it travels as the exception that its task will end with.
void MapTasks::stage_error(const Object& error) {
  common_.begin_task(nullptr, 0, false);
  try {
    Encoder encoder(nullptr);
    write_raise(encoder, error.get());
    return stage_encoded(encoder);
  } catch (const ResourceExhausted&) {
    // Not even for that is there memory. What follows needs none.
  }
  Encoder encoder(nullptr);
  encoder.number(FunctionKind::raise);
  const Object description = check(Py_BuildValue("(OsOs)", Py_None, "retinue.ResourceExhausted",
                                                 check(PyUnicode_FromFormat("no shared memory for this task, which failed: %.40s",
                                                                            Py_TYPE(error.get())->tp_name)).get(), ""));
  encoder.value(description.get());
  stage_encoded(encoder);
}

void MapTasks::encode(Encoder& encoder, PyObject* const* arguments, std::size_t count) {
  plan_.function->write(encoder);
  if (bound_.empty()) write_arguments(encoder, arguments, count, nullptr);
  else write_arguments_after(encoder, bound_, arguments, count);
}

void MapTasks::stage(PyObject* const* arguments, std::size_t count, bool ready) {
  common_.begin_task(arguments, count, ready);
  std::exception_ptr no_memory;
  try {
    Encoder encoder(plan_.scope.get(), &common_, plan_.options.retries != 0);
    encode(encoder, arguments, count);
    return stage_encoded(encoder);
  } catch (const PythonError&) {
    if (!concerns_value()) throw;
  } catch (const ResourceExhausted&) {
    no_memory = std::current_exception();
  }
  if (no_memory && common_.forget_last()) return stage(arguments, count, ready);
  if (no_memory && !window_->is_empty()) return put_off(arguments, count);
  stage_error(no_memory ? error_object(no_memory) : take_error());
}

// Until a task has ended, and with it what it was given.
void MapTasks::put_off(PyObject* const* arguments, std::size_t count) {
  common_.begin_task(nullptr, 0, false);
  pending_ = tuple_of(arguments, count);
  window_->hold_back();
}

void MapTasks::stage_star(PyObject* arguments) {
  if (PyTuple_CheckExact(arguments)) return stage_tuple(arguments, true);
  const Object tuple(in_python([arguments] { return PySequence_Tuple(arguments); }));
  if (tuple) return stage_tuple(tuple.get(), PyList_CheckExact(arguments) != 0);
  if (!concerns_value()) throw PythonError{};
  stage_error(take_error());
}

void MapTasks::stage_tuple(PyObject* arguments, bool ready) {
  stage(reinterpret_cast<PyTupleObject*>(arguments)->ob_item, static_cast<std::size_t>(PyTuple_GET_SIZE(arguments)), ready);
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

void MapTasks::read_inputs(std::size_t wanted, Weight weight) {
  try {
    for (; wanted > 0 && (weight == Weight::any || !window_->is_heavy()); --wanted) {
      if (!read_one()) {
        inputs_ended_ = true;
        break;
      }
      if (pending_) break;
    }
  } catch (const PythonError&) {
    if (!concerns_value()) {
      const ErrorAside aside;
      publish_what_is_staged();
      throw;
    }
    input_error_ = take_error();  // results of earlier inputs come first
    inputs_ended_ = true;
  } catch (...) {
    publish_what_is_staged();
    throw;
  }
  publish();
}

// Beside an error that matters more than that the pool has closed.
void MapTasks::publish_what_is_staged() {
  try {
    window_->publish();
  } catch (const PoolClosed&) {
    inputs_ended_ = true;
  }
}

// What a closed pool no longer takes is where the inputs end: here too, results of earlier ones come first.
void MapTasks::publish() {
  std::exception_ptr refusal;
  try {
    window_->publish();
  } catch (const PoolClosed&) {
    refusal = std::current_exception();
  }
  if (refusal) {
    input_error_ = error_object(refusal);
    inputs_ended_ = true;
  }
  if (!inputs_ended_) return;
  window_->inputs_ended();
  plan_.iterators = Object();
  common_.clear();
}

void MapTasks::start() {
  const Busy busy(*this);
  if (window_ == nullptr || inputs_ended_) return;
  if (const std::size_t wanted = window_->wanted(); wanted != 0) read_inputs(wanted);
  constexpr std::size_t kFew = 4096, kSmall = 16u << 20;
  if (plan_.length > kFew || plan_.options.look_ahead != 0) return;
  while (!inputs_ended_ && !pending_ && staged_bytes_ < kSmall) read_inputs(4);
}

// The end of the pool reads the map in one thread: others that come meanwhile are not at fault.
bool MapTasks::wait_for_read_all(const Deadline& deadline) const {
  while (busy_ && all_read_by_ != 0 && all_read_by_ != PyThread_get_thread_ident()) {
    if (deadline && Clock::now() >= *deadline) return false;
    check(PyErr_CheckSignals());
    const WithoutGil without;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// An item without memory waits for tasks of this map to end; nobody takes results, which could make room too.
void MapTasks::read_all() {
  const Busy busy(*this);
  all_read_by_ = PyThread_get_thread_ident();
  const std::unique_ptr<unsigned long, void (*)(unsigned long*)> done(&all_read_by_, [](unsigned long* it) { *it = 0; });
  while (window_ != nullptr && !inputs_ended_) {
    const std::size_t running = window_->unfinished();
    const std::uint64_t before = staged_;
    read_inputs(256, Weight::any);
    check(PyErr_CheckSignals());
    if (!pending_) continue;
    if (running == 0 && staged_ == before) {
      pending_ = Object();
      stage_error(error_object(std::make_exception_ptr(ResourceExhausted("no shared memory for the arguments of this task", 0))));
      continue;
    }
    for (const std::size_t left = window_->unfinished(); left != 0 && window_->unfinished() == left;) {
      check(PyErr_CheckSignals());
      const WithoutGil without;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
}

void MapTasks::close() noexcept {
  if (busy_) return;
  leave_to_engine();
  plan_.iterators = Object();
  common_.clear();
  bound_blocks_.clear();
  pending_ = Object();
  inputs_ended_ = true;
  input_error_ = Object();
}

bool MapTasks::drop_results() {
  if (!inputs_ended_ || busy_) return false;
  const Busy busy(*this);
  detail::MapWindow::Result result;
  while (window_ != nullptr)
    switch (window_->next(result, Clock::time_point::min())) {
      case detail::MapWindow::Next::over:
        window_.reset();
        bound_kept_ = Object();
        bound_blocks_.clear();
        break;
      case detail::MapWindow::Next::timed_out: return false;
      case detail::MapWindow::Next::result: kept_.erase(result.index); break;
      default: break;
    }
  return true;
}

Object MapTasks::next(const Deadline& deadline) {
  bool timed_out = false;
  Object value = next_until(deadline, timed_out);
  if (timed_out) {
    PyErr_SetNone(PyExc_TimeoutError);
    throw PythonError{};
  }
  return value;
}

Object MapTasks::read(detail::MapWindow::Result& result) {
  if (result.error) {
    kept_.erase(result.index);
    std::rethrow_exception(result.error);
  }
  std::shared_ptr<const void> source;
  if (result.value.size() >= detail::PrivateMemory::kWorthwhile) source = hold(window_->take());
  Outcome outcome = read_outcome(result.value, std::move(source));
  if (!kept_.empty()) kept_.erase(result.index);
  if (!outcome.error) return std::move(outcome.value);
  Object error = std::move(outcome.error);
  if (PyErr_GivenExceptionMatches(error.get(), PyExc_StopIteration)) {  // it would end the loop that reads the results
    Object told = check(PyObject_CallFunction(PyExc_RuntimeError, "s", "a task of the map raised StopIteration"));
    PyException_SetCause(told.get(), error.release());
    error = std::move(told);
  }
  note_item(error.get(), check(PyLong_FromUnsignedLongLong(result.index)).get());
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  throw PythonError{};
}

Object MapTasks::next_until(const Deadline& deadline, bool& timed_out) {
  timed_out = !wait_for_read_all(deadline);
  if (timed_out) return Object();
  const Busy busy(*this);
  begun_ = true;
  if (window_ != nullptr && detail::is_foreign(*plan_.core)) {
    (void)window_.release();  // the parent's: nothing of it is this process's to free
    inputs_ended_ = true;
    detail::require_open(*plan_.core);
  }
  detail::MapWindow::Result result;
  while (window_ != nullptr) {
    if (!inputs_ended_)
      if (const std::size_t wanted = window_->wanted(); wanted != 0) read_inputs(wanted);
    auto found = window_->next(result, Clock::time_point::min());
    if (found == detail::MapWindow::Next::timed_out) {
      try {
        timed_out = !wait_in_slices(deadline, [&](const Deadline& slice) {
          found = window_->next(result, slice);
          return found != detail::MapWindow::Next::timed_out;
        });
      } catch (const PythonError&) {
        interrupted_ = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
        throw;
      }
      if (timed_out) break;
    }
    switch (found) {
      case detail::MapWindow::Next::result:
        interrupted_ = false;
        return read(result);
      case detail::MapWindow::Next::over:
        bound_kept_ = Object();
        bound_blocks_.clear();
        if (input_error_) {
          const Object error = std::exchange(input_error_, Object());
          PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
          throw PythonError{};
        }
        return Object();
      default: break;
    }
  }
  return Object();
}

int MapTasks::traverse(visitproc visit, void* arg) const noexcept {
  Py_VISIT(plan_.iterators.get());
  Py_VISIT(plan_.scope.get());
  Py_VISIT(input_error_.get());
  Py_VISIT(pending_.get());
  return 0;
}

}  // namespace retinue::python
