// Exceptions as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace retinue::detail {

/// In the worker, and in the thread that caught it: everything the owner needs of `thrown`, including this
/// thread's throw_site(), which it clears. Never fails: without memory for more, the bytes are one that stands
/// for std::bad_alloc and needs no memory.
std::string encode_exception(const std::exception_ptr& thrown) noexcept;
/// The same in at most `most` bytes (from 1): without the stack, and with as much of its text as there is room for.
std::string encode_exception_within(std::size_t most, const std::exception_ptr& thrown) noexcept;

/// In the owner: the exception again. Standard types, Retinue's own and registered ones are themselves, with
/// the same what(); all others are RemoteError with the stack of the throw. Bytes that encode_exception did
/// not write (a worker may have scribbled) give CodecError. `bytes` may lie in shared memory that its worker
/// no longer writes to, at any alignment. Never null, never throws (bad_alloc is returned, too). Thread-safe.
std::exception_ptr decode_exception(std::string_view bytes, pid_t worker_pid, std::uint64_t task_index) noexcept;

}  // namespace retinue::detail
