// The interpreter in the fork server and in workers.
#pragma once

#include <retinue/detail/processes/process_hooks.hpp>

#include "interpreter/python.hpp"

namespace retinue::python {

/// What the interpreter needs around forks and in workers.
extern const detail::ProcessHooks kHooks;
/// The same where workers are not forked from this process.
extern const detail::ProcessHooks kOwnerHooks;
/// What a worker calls at its end where what is left to run is its owner's. Never returns.
PyObject* leave_this_worker(PyObject*, PyObject*) noexcept;
/// While it lives, a start by this thread is interrupted once `refused`. They may be nested.
class StartRefusal {
 public:
  explicit StartRefusal(const bool& refused) noexcept;
  ~StartRefusal();
  StartRefusal(const StartRefusal&) = delete;
  StartRefusal& operator=(const StartRefusal&) = delete;

 private:
  const bool* outer_;
};

}  // namespace retinue::python
