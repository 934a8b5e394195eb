// What a worker that crashes says of the Python code that it ran.
#pragma once

#include <cstdint>

namespace retinue::python {

/// Finds what the interpreter has for this. In a worker, once, before its first task.
void prepare_crash_note() noexcept;
/// ProcessHooks::write_crash_note: the function of the task, and where the interpreter can tell it, the Python stack. Reads
/// the interpreter's objects as they are, and allocates nothing.
void write_crash_note(char* text, std::uint32_t room, std::uint32_t& size) noexcept;

}  // namespace retinue::python
