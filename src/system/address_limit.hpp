// RLIMIT_AS in a process that has reserved far more addresses than it has memory.
#pragma once

#include <cstdint>
#include <sys/resource.h>

namespace retinue::detail {

/// The bytes of addresses that this process has mapped. Throws Error or ResourceExhausted.
std::uint64_t mapped_bytes();

/// Looks after RLIMIT_AS while code of the program's runs that may set it, and means memory: reserved addresses count,
/// though they take none. Made before that code runs.
class AddressLimit {
 public:
  /// `reserved`: bytes of addresses.
  explicit AddressLimit(std::uint64_t reserved) noexcept;
  /// True if the limit was set, below what is mapped already: then nearly every allocation fails.
  bool is_out_of_reach() const;
  /// If the limit was set, `reserved` comes on top of it. Throws Error, which says what to use instead, if that takes a
  /// privilege that this process does not have.
  void leave_room() const;
  /// Lifts it as far as it can be, so that there is memory to report that in; throws the Error of `leave_room`.
  [[noreturn]] void refuse() const;

 private:
  static rlimit now() noexcept;
  bool was_set() const noexcept;

  const std::uint64_t reserved_;
  const rlimit before_;
};

}  // namespace retinue::detail
