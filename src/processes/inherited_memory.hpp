// The memory that a process copies with each fork, and that a fork of it gives back at its end: both take long where it is much.
#pragma once

#include <cstddef>
#include <span>

namespace retinue::detail {

/// The private memory of this process in bytes; 0 if the system does not say. For about 130 MB of it the page tables take
/// as long to copy as a worker takes to begin.
std::size_t own_private_memory() noexcept;
constexpr std::size_t kLargeProcess = std::size_t{128} << 20;

constexpr std::size_t kLargeMapping = std::size_t{8} << 20, kKeptAround = std::size_t{1} << 20;

/// Gives back the large private mappings that this process has inherited; from then on they read as zeros. There stay: what
/// is within kKeptAround of the caller's stack, of the thread's own memory, or of an address in `in_use` (12 at most);
/// mappings below kLargeMapping; files, the heap by brk, and what lies right behind a file, such as static data.
///
/// For a process of one thread that goes on to run only such code of the engine's as it has run before (a function called
/// for the first time may have to be bound), that uses nothing but what stays and shared memory, and forks no more.
/// Allocates nothing. Does nothing where /proc cannot be read, nor under valgrind. Killed within, it is a process that dies.
void drop_inherited_memory(std::span<const void* const> in_use) noexcept;

}  // namespace retinue::detail
