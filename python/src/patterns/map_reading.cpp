// When a map reads its inputs, and how what is read is submitted.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include <retinue/detail/processes/map_inputs.hpp>
#include <retinue/error.hpp>
#include <retinue/shared_memory.hpp>

#include "patterns/map.hpp"
#include "patterns/map_busy.hpp"
#include "tasks/failing_call.hpp"

namespace retinue::python {
namespace {

constexpr std::chrono::microseconds kLookEvery{20};
constexpr std::size_t kBatch = 256;

Object no_memory_for_arguments() {
  return error_object(std::make_exception_ptr(ResourceExhausted("no shared memory for the arguments of this task", 0)));
}

}  // namespace

void MapTasks::read_inputs(std::size_t wanted, bool heavy_too) {
  const bool looks = plan_.results_first && !pure_;
  Clock::time_point looked = looks ? Clock::now() : Clock::time_point();
  try {
    const bool at_end = detail::read_inputs(*window_, wanted, heavy_too, [&] {
      if (!read_one()) return detail::InputRead::none;
      if (pending_) return detail::InputRead::deferred;
      if (!looks || Clock::now() - looked < kLookEvery) return detail::InputRead::staged;
      looked = Clock::now();
      publish();
      return inputs_ended_ || window_->has_result() ? detail::InputRead::deferred : detail::InputRead::staged;
    });
    if (at_end) read_to_end_ = true;
  } catch (const PythonError&) {
    if (!concerns_value()) {
      const SavedError saved;
      publish_what_is_staged();
      throw;
    }
    input_error_ = take_error();  // results of earlier inputs come first
    read_to_end_ = true;
  } catch (...) {
    publish_what_is_staged();
    throw;
  }
  publish();
}

// Beside an error that matters more than that the pool has closed.
void MapTasks::publish_what_is_staged() {
  if (detail::publish_inputs(*window_)) inputs_ended_ = true;
}

// What a closed pool no longer takes is where the inputs end: here too, results of earlier ones come first.
void MapTasks::publish() {
  if (const auto closed = detail::publish_inputs(*window_)) {
    input_error_ = error_object(closed);
    inputs_ended_ = stop_ = true;
    wake_reader();
  } else if (read_to_end_ && calls_.empty()) {
    inputs_ended_ = true;
  }
  if (!inputs_ended_) return;
  window_->inputs_ended();
  if (has_reader_) return;  // which releases all that itself
  plan_.iterators = Object();
  common_.clear();
  calls_.clear();
  calls_name_.clear();
}

// False if there is no memory for it now.
bool MapTasks::submit_one() {
  const auto [arguments, whole] = calls_.front();
  try {
    if (whole) {
      std::memcpy(window_->stage(arguments.size()), arguments.data(), arguments.size());
    } else {
      const std::size_t before = sizeof(std::uint32_t) + prefix_.size();
      const auto size = static_cast<std::uint32_t>(before + arguments.size());
      std::byte* room = window_->stage(size);
      std::memcpy(room, &size, sizeof size);
      std::memcpy(room + sizeof size, prefix_.data(), prefix_.size());
      std::memcpy(room + before, arguments.data(), arguments.size());
    }
  } catch (const ResourceExhausted&) {
    return false;
  }
  if (!calls_name_.empty() && calls_name_.front().index == staged_ - calls_.count()) {
    named_bytes_ -= calls_name_.front().bytes;
    keep_in_window(std::move(calls_name_.front().memory), calls_name_.front().bytes);
    calls_name_.pop_front();
  } else if (!bound_blocks_.empty()) {
    keep_in_window({}, 0);
  }
  calls_.pop();
  return true;
}

void MapTasks::fail_oldest(const Object& error) {
  if (!calls_name_.empty() && calls_name_.front().index == staged_ - calls_.count()) {
    named_bytes_ -= calls_name_.front().bytes;
    calls_name_.pop_front();
  }
  calls_.pop();
  with_failing_call(error.get(), plan_.core->reach(),
                    [this](const Encoder& encoder) { encoder.write_to(window_->stage(encoder.size())); });
}

void MapTasks::submit_read(std::size_t most) {
  for (std::size_t n = 0; n < most && !inputs_ended_ && !calls_.empty();) {
    if (!submit_one()) {
      if (window_->is_empty()) {
        fail_oldest(no_memory_for_arguments());
      } else {
        window_->pause_inputs();
        break;
      }
    }
    if (++n % kBatch == 0) publish();
  }
  if (!inputs_ended_) publish();
}

void MapTasks::submit_what_fits() {
  window_->inputs_wait(false);
  while (!inputs_ended_ && !calls_.empty()) {
    const std::size_t wanted = window_->wanted();
    if (wanted == 0) break;
    submit_read(wanted);
  }
  look_ahead_ = window_->look_ahead();
}

void MapTasks::submit_or_read() {
  if (inputs_ended_) {
    if (stop_) window_->inputs_ended();
    return;
  }
  if (has_reader_ || !calls_.empty() || read_to_end_) {
    submit_what_fits();
    if (!inputs_ended_ && read_to_end_ && calls_.empty()) publish();
    if (has_reader_) window_->inputs_wait(calls_.empty());
    wake_reader_for_more();
  } else if (const std::size_t wanted = window_->wanted(); wanted != 0) {
    read_inputs(wanted);
  }
}

void MapTasks::start() {
  const Busy busy(*this);
  if (window_ == nullptr || inputs_ended_ || has_reader_) return;
  look_ahead_ = window_->look_ahead();
  if (plan_.reading == Reading::in_call) return read_in_call();
  if (plan_.reading == Reading::in_thread) return;
  if (const std::size_t wanted = window_->wanted(); wanted != 0) read_inputs(wanted);
  constexpr std::size_t kSmall = 16u << 20;
  if (plan_.length > kMaxSubmitted || plan_.options.look_ahead.value_or(0) != 0) return;
  while (!inputs_ended_ && !pending_ && staged_bytes_ < kSmall) read_inputs(4);
}

void MapTasks::read_in_call() {
  const std::uint64_t limit = shared_memory_usage().bytes_limit;
  const std::size_t most = limit != 0 ? std::min<std::size_t>(kMuch, limit / 8) : kMuch;
  constexpr std::chrono::microseconds kSubmitEvery{100};
  constexpr unsigned kMany = 64;
  auto submitted = Clock::now();
  in_call_ = true;
  try {
    for (unsigned n = 1;; ++n) {
      if (!read_one()) {
        read_to_end_ = true;
        break;
      }
      if (calls_.empty()) {
        publish();
      } else if (n % kMany == 0 || Clock::now() - submitted >= kSubmitEvery) {
        take_results();
        if (window_->outstanding() < kMaxSubmitted) submit_read(kMaxSubmitted - window_->outstanding());
        submitted = Clock::now();
      }
      if (inputs_ended_) raise_input_error();
      if (staged_bytes_ > most || pending_) {
        too_much_ = true;
        plan_.iterators = with_lists_as_they_are_now(plan_.iterators.get());
        break;
      }
      if (n % kMany != 0) continue;
      if (PyErr_CheckSignals() < 0) {
        interrupted_ = PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) != 0;
        throw PythonError{};
      }
      if (n % kBatch == 0) const WithoutGil others_come_in;
    }
    in_call_ = false;
    counted_.clear();
    publish();
  } catch (...) {
    in_call_ = false;
    const SavedError saved;
    give_up();
    throw;
  }
}

// An item without memory waits for tasks of this map to end; nobody takes results, which could make room too.
void MapTasks::read_all() {
  const Busy busy(*this);
  all_read_by_ = PyThread_get_thread_ident();
  const std::unique_ptr<unsigned long, void (*)(unsigned long*)> done(&all_read_by_,
                                                                      [](unsigned long* it) { *it = 0; });
  const bool to_the_end = may_be_read_to_the_end();
  bool none_ran = false;  // when the last item without memory was tried
  while (window_ != nullptr && !inputs_ended_) {
    const std::uint64_t before = staged_ - calls_.count();
    if (!calls_.empty()) submit_read(calls_.count());
    else if (!to_the_end) return;
    else if (!read_to_end_) read_inputs(kBatch, true);
    else publish();
    check(PyErr_CheckSignals());
    const bool went_on = staged_ - calls_.count() != before;
    if (!pending_ && calls_.empty()) {
      none_ran = false;
      continue;
    }
    if (none_ran && !went_on) {
      none_ran = false;
      if (!calls_.empty()) {
        fail_oldest(no_memory_for_arguments());
      } else {
        pending_ = Object();
        stage_error(no_memory_for_arguments());
      }
      continue;
    }
    const std::size_t left = window_->unfinished();
    none_ran = left == 0;
    while (left != 0 && window_->unfinished() == left) {
      check(PyErr_CheckSignals());
      const WithoutGil without;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }
}

void MapTasks::read_all_in_call() {
  read_all();
  if (!input_error_) return;
  const Object error = std::exchange(input_error_, Object());
  close();
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.get())), error.get());
  throw PythonError{};
}

}  // namespace retinue::python
