// Knowing cheaply that this process is the child of a fork, or that an object is of another copy of this library.
#pragma once

#include <cstdint>

namespace retinue::detail {

/// The bits that count forks; above them is what tells the copies of this library in one program apart.
constexpr unsigned kForkBits = 16;

/// A number that differs in every process forked from this one (by fork(2) of the C library), and in every copy of this
/// library that a program has in it. Objects note it when they are made and compare it later, where getpid() would cost a
/// system call. Async-signal-safe.
std::uint64_t fork_generation() noexcept;

/// Whether an object that noted this number is of another copy.
inline bool is_of_another_copy(std::uint64_t generation) noexcept {
  return (generation ^ fork_generation()) >> kForkBits != 0;
}

/// What to report then.
inline constexpr char kTwoCopies[] =
    "this program has two copies of the retinue library in it, and one was handed what the other has made: each keeps "
    "its own "
    "account of shared memory and processes. Build retinue as a shared library (BUILD_SHARED_LIBS=ON) and link all "
    "parts of "
    "the program with that, or let no pool, future or shared array pass from one part to another and hide what each "
    "has "
    "linked (-fvisibility=hidden, -Wl,--exclude-libs,ALL)";

}  // namespace retinue::detail
