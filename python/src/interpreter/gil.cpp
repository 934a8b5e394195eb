#include <mutex>
#include <pthread.h>

#include "interpreter/python.hpp"

namespace retinue::python {
namespace {

// Held while a thread state is made, and over each fork. Nobody waits for the GIL with it.
std::mutex& making_states() {
  static std::mutex mutex;
  return mutex;
}

[[gnu::constructor]] void watch_forks() {
  making_states();
  pthread_atfork([] { making_states().lock(); }, [] { making_states().unlock(); }, [] { making_states().unlock(); });
}

}  // namespace

WithGil::WithGil() noexcept {
  if (PyGILState_GetThisThreadState() != nullptr) {
    before_ = in_python([] { return PyGILState_Ensure(); });
    return;
  }
  {
    const std::lock_guard lock(making_states());
    made_ = PyThreadState_New(PyInterpreterState_Main());
  }
  if (made_ == nullptr) Py_FatalError("retinue: no memory for the state of a thread that calls Python");
  in_python([this] { PyEval_RestoreThread(made_); });
}

WithGil::~WithGil() {
  if (made_ == nullptr) {
    PyGILState_Release(before_);
  } else {
    PyThreadState_Clear(made_);
    PyThreadState_DeleteCurrent();
  }
}

}  // namespace retinue::python
