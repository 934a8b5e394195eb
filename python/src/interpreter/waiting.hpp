// How Python threads wait: without the GIL, in slices, so that Ctrl-C ends any wait.
#pragma once

#include <chrono>
#include <optional>

#include <retinue/detail/tasks/completion.hpp>

#include "interpreter/python.hpp"

namespace retinue::python {

using detail::Clock;
using detail::Deadline;

/// None or a number of seconds as a deadline. Throws PythonError for anything else: TypeError, or ValueError for NaN.
Deadline deadline_from(PyObject* timeout);
bool is_over(const Deadline& deadline) noexcept;

/// Calls `wait(Deadline)` without the GIL until it gives true or the deadline passes; looks for signals every
/// twentieth of a second. Throws PythonError if a signal handler raised (KeyboardInterrupt).
template <class Wait>
bool wait_in_slices(const Deadline& deadline, Wait&& wait) {
  constexpr std::chrono::milliseconds kSlice{50};
  for (;;) {
    const auto slice_end = Clock::now() + kSlice;
    bool done;
    {
      const WithoutGil without;
      done = wait(Deadline(deadline ? std::min(*deadline, slice_end) : slice_end));
    }
    if (done) return true;
    check(PyErr_CheckSignals());
    if (is_over(deadline)) return false;
  }
}

}  // namespace retinue::python
