#include "processes/closing.hpp"

#include <thread>
#include <unistd.h>

namespace retinue::python {

void Closing::begin(detail::Ref<detail::ProcessBackend> core, bool cancel_pending, std::shared_ptr<void> kept) {
  {
    const std::lock_guard lock(mutex_);
    ++under_way_;
  }
  try {
    std::thread([this, core = std::move(core), cancel_pending, kept = std::move(kept)]() mutable {
      core->shutdown(cancel_pending);
      core = {};
      {
        const WithGil with;
        kept.reset();
      }
      const std::lock_guard lock(mutex_);
      --under_way_;
      changed_.notify_all();
    }).detach();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    --under_way_;
    throw;
  }
}

bool Closing::wait(const Deadline& deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, *deadline, [this] { return under_way_ == 0; });
}

Closing& closing() {
  static Closing* all = nullptr;
  static pid_t process = 0;
  if (all == nullptr || process != getpid()) {
    all = new Closing;  // never destroyed: its threads may outlive main
    process = getpid();
  }
  return *all;
}

PyObject* wait_for_closing(PyObject*, PyObject*) noexcept {
  return guarded([]() -> PyObject* {
    wait_in_slices(std::nullopt, [&all = closing()](const Deadline& slice) { return all.wait(slice); });
    return Py_NewRef(Py_None);
  });
}

PyObject* run_end(PyObject*, PyObject* end) noexcept {
  return guarded([&]() -> PyObject* {
    const auto call = [end](PyObject* at_once) {
      return Object(in_python([&] { return PyObject_CallFunctionObjArgs(end, at_once, nullptr); }));
    };
    if (Object ended = call(Py_False)) return ended.release();
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt) == 0) return nullptr;
    PyErr_Clear();
    if (!call(Py_True)) PyErr_Clear();
    // The interpreter remembers the interruption of what it runs from its text, as a program of its own.
    const Object names = check(PyDict_New());
    return PyRun_String("raise KeyboardInterrupt", Py_file_input, names.get(), names.get());
  });
}

}  // namespace retinue::python
