// Ownership of a file descriptor, and how a failed system call becomes an exception.
#pragma once

#include <string>
#include <utility>

namespace retinue::detail {

/// Owns one file descriptor and closes it. Not shared between threads without a lock; after a fork both
/// processes own their own copy of the descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }
  /// Gives the descriptor away; the caller closes it.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  /// Closes what is held (errno is kept) and holds `fd` instead.
  void reset(int fd = -1) noexcept;

 private:
  int fd_ = -1;
};

/// Throws for a failed call: ResourceExhausted where the errno says that the machine or a limit gave out
/// (ENOMEM, ENOSPC, EMFILE, ENFILE, EAGAIN, EFBIG, EDQUOT, ...), else Error. The message reads
/// "call(argument): text of the errno (errno N)".
[[noreturn]] void throw_call_failed(const char* call, int error_number, const std::string& argument);

}  // namespace retinue::detail
