// The results of a map, and its end.
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include <retinue/detail/memory/private_memory.hpp>

#include "interpreter/helpers.hpp"
#include "patterns/map.hpp"
#include "patterns/map_busy.hpp"
#include "tasks/held_until_done.hpp"
#include "tasks/result_source.hpp"

namespace retinue::python {

namespace {}  // namespace

/// What the reader has read while somebody was in `next` is submitted as that one leaves.
class MapTasks::SubmitAtEnd {
 public:
  explicit SubmitAtEnd(MapTasks& tasks) : tasks_(tasks) {}
  ~SubmitAtEnd() {
    if (!tasks_.has_reader_ || tasks_.window_ == nullptr || tasks_.inputs_ended_ || tasks_.calls_.empty()) return;
    const SavedError saved;
    guarded(
        [this] {
          tasks_.submit_what_fits();
          tasks_.wake_reader_for_more();
          return 0;
        },
        -1);
    if (PyErr_Occurred() != nullptr) PyErr_Clear();  // without memory now: whoever comes next tries again
  }
  SubmitAtEnd(const SubmitAtEnd&) = delete;
  SubmitAtEnd& operator=(const SubmitAtEnd&) = delete;

 private:
  MapTasks& tasks_;
};

// Tasks that are running go on, with what they need.
void MapTasks::leave_to_engine() noexcept {
  if (window_ == nullptr) return;
  if (interrupted_) window_->terminate_on_destruction();
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

void MapTasks::close() noexcept {
  wait_for_pass_on();
  if (!busy_) give_up();
}

// The reader, which may be in the inputs or in what it encodes, releases these itself.
void MapTasks::give_up() noexcept {
  leave_to_engine();
  inputs_ended_ = stop_ = true;
  input_error_ = Object();
  results_.clear();
  large_results_.clear();
  if (has_reader_) return wake_reader();
  plan_.iterators = Object();
  common_.clear();
  bound_blocks_.clear();
  calls_.clear();
  calls_name_.clear();
  pending_ = Object();
}

bool MapTasks::drop_results() {
  if (!inputs_ended_ || busy_) return false;
  const Busy busy(*this);
  results_.clear();
  large_results_.clear();
  detail::MapWindow::Result result;
  while (window_ != nullptr) switch (window_->next(result, Clock::time_point::min())) {
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

// The end of the pool reads the map in one thread: others that come meanwhile are not at fault.
bool MapTasks::wait_for_read_all(const Deadline& deadline) const {
  if (!busy_) return true;
  wait_for_pass_on();
  while (busy_ && all_read_by_ != 0 && all_read_by_ != PyThread_get_thread_ident()) {
    if (deadline && Clock::now() >= *deadline) return false;
    check(PyErr_CheckSignals());
    const WithoutGil without;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

Object MapTasks::next(const Deadline& deadline) {
  bool timed_out = false;
  Object value = next_until(deadline, timed_out);
  if (timed_out) {
    PyErr_Format(PyExc_TimeoutError, "map(timeout=%R): not all results were there in time", plan_.timeout.get());
    throw PythonError{};
  }
  return value;
}

void MapTasks::raise_input_error() {
  const Object error = std::exchange(input_error_, Object());
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  throw PythonError{};
}

Object MapTasks::give(Outcome outcome, std::uint64_t index) {
  if (!outcome.error) return std::move(outcome.value);
  Object error = std::move(outcome.error);
  if (PyErr_GivenExceptionMatches(error.get(), PyExc_StopIteration)) {  // it would end the loop that reads the results
    Object failure = check(PyObject_CallFunction(PyExc_RuntimeError, "s", "a task of the map raised StopIteration"));
    PyException_SetCause(failure.get(), error.release());
    error = std::move(failure);
  }
  helpers::note_item(error.get(), check(PyLong_FromUnsignedLongLong(index)).get());
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  throw PythonError{};
}

Object MapTasks::read(detail::MapWindow::Result& result) {
  if (result.error) {
    kept_.erase(result.index);
    std::rethrow_exception(result.error);
  }
  if (Object value = read_scalar_outcome(result.value)) {
    if (!kept_.empty()) kept_.erase(result.index);
    return value;
  }
  std::shared_ptr<const void> source;
  if (result.value.size() >= detail::PrivateMemory::kWorthwhile) source = hold(window_->take());
  Outcome outcome = read_outcome(result.value, std::move(source));
  if (!kept_.empty()) kept_.erase(result.index);
  return give(std::move(outcome), result.index);
}

// Results that are there while inputs are read in the call: so that their tasks' records can be used again. Not those
// that take much, which are to keep the pool from making more of them.
void MapTasks::take_results() {
  detail::MapWindow::Result result;
  std::size_t large = 0;
  for (const Taken& taken : large_results_) large += taken.value.size();
  while (large < kMuch && window_->next(result, Clock::time_point::min()) == detail::MapWindow::Next::result) {
    if (!kept_.empty()) kept_.erase(result.index);
    if (!result.error && result.value.size() <= kSmallResult) {
      std::memcpy(results_.reserve(result.value.size(), false), result.value.data(), result.value.size());
    } else {
      results_.reserve(0, true);
      large += result.value.size();
      if (result.error) {
        large_results_.push_back({nullptr, {}, result.error});
      } else if (auto source = hold(window_->take())) {
        large_results_.push_back({std::move(source), result.value, nullptr});
      } else {
        const std::shared_ptr<std::byte[]> copy(new std::byte[result.value.size()]);
        std::memcpy(copy.get(), result.value.data(), result.value.size());
        large_results_.push_back({copy, {copy.get(), result.value.size()}, nullptr});
      }
    }
    results_.commit();
    if (!taken_indices_.empty() && taken_indices_.back().second == result.index) ++taken_indices_.back().second;
    else taken_indices_.emplace_back(result.index, result.index + 1);
  }
}

// The next of those.
Object MapTasks::read_taken() {
  auto& [index_of_next, end] = taken_indices_.front();
  const std::uint64_t index = index_of_next++;
  if (index_of_next == end) taken_indices_.pop_front();
  if (results_.front().marked) {
    const Taken taken = std::move(large_results_.front());
    large_results_.pop_front();
    results_.pop();
    if (taken.error) std::rethrow_exception(taken.error);
    const bool worthwhile = taken.value.size() >= detail::PrivateMemory::kWorthwhile;
    return give(read_outcome(taken.value, worthwhile ? taken.source : nullptr), index);
  }
  std::byte copy[kSmallResult];
  const std::span<const std::byte> bytes = results_.front().bytes;
  std::memcpy(copy, bytes.data(), bytes.size());
  results_.pop();
  return give(read_outcome({copy, bytes.size()}, nullptr), index);
}

// False if the deadline passed first.
bool MapTasks::wait_for_result(detail::MapWindow::Result& result, detail::MapWindow::Next& found,
                               const Deadline& deadline) {
  const bool nothing = found == detail::MapWindow::Next::over;
  consumer_waits_ = has_reader_;
  nothing_waits_ = nothing;
  consumer_nudged_ = false;
  const std::unique_ptr<bool, void (*)(bool*)> over(&consumer_waits_, [](bool* waits) { *waits = false; });
  try {
    return wait_in_slices(deadline, [&](const Deadline& slice) {
      if (!nothing) found = window_->next(result, slice);
      else if (window_->wait_for_nudge(slice)) found = detail::MapWindow::Next::starved;
      else return false;
      return found != detail::MapWindow::Next::timed_out;
    });
  } catch (const PythonError&) {
    interrupted_ = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
    throw;
  }
}

Object MapTasks::next_until(const Deadline& deadline, bool& timed_out) {
  using Next = detail::MapWindow::Next;
  timed_out = !wait_for_read_all(deadline);
  if (timed_out) return Object();
  const Busy busy(*this);
  begun_ = true;
  if (window_ != nullptr && plan_.core->made_elsewhere()) {
    (void)window_.release();  // the parent's: nothing of it is this process's to free
    inputs_ended_ = true;
    plan_.core->check_open();
  }
  if (!results_.empty()) return read_taken();
  detail::MapWindow::Result result;
  if (window_ != nullptr && window_->next_of_run(result)) {
    interrupted_ = false;
    return read(result);
  }
  const SubmitAtEnd submit_at_end(*this);
  while (window_ != nullptr) {
    // Inputs may wait, and what waits for them, for this result.
    const bool results_first = !inputs_ended_ && plan_.results_first && !pure_;
    Next found = results_first ? window_->next(result, Clock::time_point::min()) : Next::timed_out;
    if (found != Next::result) {
      submit_or_read();
      found = window_->next(result, Clock::time_point::min());
    }
    if (found == Next::timed_out || (found == Next::over && !inputs_ended_)) {
      timed_out = !wait_for_result(result, found, deadline);
      if (timed_out) break;
    }
    switch (found) {
      case Next::result: interrupted_ = false; return read(result);
      case Next::over:
        bound_kept_ = Object();
        bound_blocks_.clear();
        if (input_error_) raise_input_error();
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
