// Knowing cheaply that this process is the child of a fork.
#pragma once

namespace retinue::detail {

/// A number that differs in every process forked from this one (by fork(2) of the C library). Objects
/// note it when they are made and compare it later, where getpid() would cost a system call.
/// Async-signal-safe once called.
unsigned fork_generation() noexcept;

}  // namespace retinue::detail
