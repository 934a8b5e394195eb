// Pools that end while their program goes on.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include <retinue/detail/processes/process_backend.hpp>

#include "interpreter/waiting.hpp"

namespace retinue::python {

/// Pools that end in the background. Thread-safe.
class Closing {
 public:
  /// Ends a pool in a thread of its own, which keeps it until then.
  /// `kept` goes when it is done, with the GIL held.
  void begin(detail::Ref<detail::ProcessBackend> core, bool cancel_pending, std::shared_ptr<void> kept);
  /// False if the deadline passed before all had ended.
  bool wait(const Deadline& deadline);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int under_way_ = 0;
};

/// Those of this process: what a parent was ending when it forked is not its child's to wait for. With the GIL held.
Closing& closing();
/// Waits for all of them: the Python function that the end of the interpreter calls.
PyObject* wait_for_closing(PyObject*, PyObject*) noexcept;
/// What the interpreter calls at its end: `end()`, and `end(True)` if Ctrl-C interrupts that. The process then dies of SIGINT
/// in the end, as after a Ctrl-C in the main program: whoever waits for it, such as a shell, must see that. It is no Python
/// function, for one can be interrupted before it has done anything.
PyObject* run_end(PyObject*, PyObject* end) noexcept;

}  // namespace retinue::python
