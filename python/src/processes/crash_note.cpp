#include "processes/crash_note.hpp"

#include <atomic>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <string_view>
#include <unistd.h>

#include "interpreter/python.hpp"
#include "tasks/run_call.hpp"

namespace retinue::python {
namespace {

// Writes the Python stack of a thread to a descriptor, and is safe in a signal handler: what faulthandler uses. CPython
// exports it up to 3.12.
using DumpStack = void (*)(int descriptor, PyThreadState* thread);
DumpStack dump_stack = nullptr;

/// Text that is whole at any moment: `size` grows after its bytes.
class Note {
 public:
  Note(char* text, std::uint32_t room, std::uint32_t& size) noexcept : text_(text), room_(room), size_(size) {}

  void add(std::string_view more) noexcept {
    if (more.size() > room_ - length_) more = more.substr(0, room_ - length_);
    std::memcpy(text_ + length_, more.data(), more.size());
    length_ += static_cast<std::uint32_t>(more.size());
  }
  void add(long number) noexcept {
    char digits[24];
    std::size_t at = sizeof digits;
    do digits[--at] = static_cast<char>('0' + number % 10);
    while ((number /= 10) > 0);
    add(std::string_view(digits + at, sizeof digits - at));
  }
  /// As UTF-8, at most 200 characters of it.
  void add(PyObject* text) noexcept {
    if (text == nullptr || !PyUnicode_Check(text)) return add("?");
    const Py_ssize_t length = PyUnicode_GET_LENGTH(text), most = 200;
    for (Py_ssize_t i = 0; i < (length < most ? length : most); ++i) add_character(PyUnicode_READ_CHAR(text, i));
  }
  /// What has been added since the last line is shown from now on, if it is whole.
  void end_line() noexcept {
    if (length_ == room_) {
      length_ = size_;
      return;
    }
    text_[length_++] = '\n';
    std::atomic_signal_fence(std::memory_order_release);
    size_ = length_;
  }

 private:
  void add_character(Py_UCS4 c) noexcept {
    const auto byte = [](Py_UCS4 bits) { return static_cast<char>(bits); };
    const char four[] = {byte(0xf0 | c >> 18), byte(0x80 | (c >> 12 & 0x3f)), byte(0x80 | (c >> 6 & 0x3f)),
                         byte(0x80 | (c & 0x3f))};
    const char three[] = {byte(0xe0 | c >> 12), four[2], four[3]}, two[] = {byte(0xc0 | c >> 6), four[3]},
               one[] = {byte(c)};
    if (c < 0x80) add({one, 1});
    else if (c < 0x800) add({two, 2});
    else if (c < 0x10000) add({three, 3});
    else add({four, 4});
  }

  char* text_;
  std::uint32_t room_;
  std::uint32_t length_ = 0;  // what is added, also without having been shown
  std::uint32_t& size_;
};

/// The function within what is called: of a bound method, a partial.
PyObject* innermost(PyObject* callable) noexcept {
  for (int depth = 0; depth < 10; ++depth) {
    if (PyMethod_Check(callable)) {
      callable = PyMethod_GET_FUNCTION(callable);
    } else if (std::strcmp(Py_TYPE(callable)->tp_name, "functools.partial") == 0) {
      std::memcpy(&callable, reinterpret_cast<const char*>(callable) + sizeof(PyObject), sizeof(PyObject*));
    } else {
      break;
    }
  }
  return callable;
}

void note_function(Note& note, PyObject* callable) noexcept {
  callable = innermost(callable);
  note.add("  in the Python function ");
  if (PyFunction_Check(callable)) {
    const auto* const function = reinterpret_cast<const PyFunctionObject*>(callable);
    const auto* const code = reinterpret_cast<const PyCodeObject*>(function->func_code);
    note.add(function->func_qualname);
    note.add(" (");
    note.add(code->co_filename);
    note.add(":");
    note.add(static_cast<long>(code->co_firstlineno));
    note.add(")");
  } else if (PyCFunction_Check(callable)) {
    note.add(reinterpret_cast<const PyCFunctionObject*>(callable)->m_ml->ml_name);
  } else {
    note.add("of type ");
    note.add(Py_TYPE(callable)->tp_name);
  }
  note.end_line();
}

/// Lines `  File "...", line 3 in name`, innermost first.
void note_stack(Note& note) noexcept {
  PyThreadState* const thread = PyGILState_GetThisThreadState();
  int ends[2];
  if (dump_stack == nullptr || thread == nullptr || pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  dump_stack(ends[1], thread);  // a pipe has room for the hundred frames that it writes at most
  close(ends[1]);
  char line[600];
  std::size_t length = 0;
  bool begun = false;
  char buffer[512];
  for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    for (ssize_t i = 0; i < n; ++i) {
      if (buffer[i] != '\n') {
        if (length < sizeof line) line[length++] = buffer[i];
        continue;
      }
      const std::string_view text(line, std::exchange(length, 0));
      if (!text.starts_with("  ")) continue;  // its headline
      if (!std::exchange(begun, true)) {
        note.add("  Python stack, innermost call first:");
        note.end_line();
      }
      note.add("  ");
      note.add(text);
      note.end_line();
    }
  close(ends[0]);
}

}  // namespace

void prepare_crash_note() noexcept {
  dump_stack = reinterpret_cast<DumpStack>(dlsym(RTLD_DEFAULT, "_Py_DumpTraceback"));
}

void write_crash_note(char* text, std::uint32_t room, std::uint32_t& size) noexcept {
  Note note(text, room, size);
  if (PyObject* const callable = running_function(); callable != nullptr) note_function(note, callable);
  note_stack(note);
}

}  // namespace retinue::python
