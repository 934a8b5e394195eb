// Anonymous shared memory, and getting its pages before anyone writes to them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fd.hpp"

namespace retinue::detail {

/// An empty memory file: close-on-exec, for this user alone, not executable where the kernel knows how, and sealed so
/// that nobody, not even a worker with a wild pointer, can shrink it under the others' mappings, or seal it further.
/// `name` shows in /proc/*/maps. Where the system has no memfd_create or forbids it, a file in /dev/shm that never has
/// a name; there is no sealing that. Throws ResourceExhausted (EMFILE, ENFILE, ENOMEM) or Error, which says what to do.
UniqueFd create_memfd(const char* name);

/// Gives bytes [offset, offset + length) real pages and grows the file to hold them, so that writing there
/// through a mapping cannot end in SIGBUS. What the range holds already is kept.
///
/// Throws ResourceExhausted where the machine, the file-size limit or the address of the end gives out; the
/// message carries offset, length and the limit. It asks before it takes: RLIMIT_FSIZE (else the kernel
/// raises SIGXFSZ), and the memory that /proc/meminfo calls available (else the kernel's out-of-memory
/// killer answers, and not with an error code). A part of the range may have been reserved when it throws;
/// it stays in the file and `punch_hole` returns it. Any process and thread may call it.
void reserve(int fd, std::uint64_t offset, std::uint64_t length);

/// Throws ResourceExhausted where `reserve` would before it takes anything.
void check_can_reserve(int fd, std::uint64_t offset, std::uint64_t length);

/// Writes bytes there, which gives them real pages. Throws ResourceExhausted; a part may have been written then. RLIMIT_FSIZE is
/// for the caller to see to.
void write_at(int fd, std::uint64_t offset, const void* from, std::uint64_t length);

/// Gives the whole pages within [offset, offset + length) back to the system; they read as zero, and need
/// `reserve` before they are written again. The file keeps its length. Throws Error.
void punch_hole(int fd, std::uint64_t offset, std::uint64_t length);

/// The two without a descriptor, for a file that is mapped at `base`, shared and writable. Reserving so needs Linux 5.14;
/// what was reserved when it throws is freed.
void reserve_mapped(std::byte* base, std::uint64_t offset, std::uint64_t length);
void punch_hole_mapped(std::byte* base, std::uint64_t offset, std::uint64_t length);

}  // namespace retinue::detail
