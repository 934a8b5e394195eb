// Whether a descriptor's number still stands for the file it was made for.
#pragma once

#include <cerrno>
#include <sys/stat.h>

#include "calls.hpp"

namespace retinue::detail {

/// A program may close descriptors that are not its own, and the next file it opens gets the number. Who keeps one for
/// long notes its file and looks before it uses the number. Not for anonymous inodes (eventfd, pidfd), which are all one.
class FileIdentity {
 public:
  FileIdentity() = default;
  /// The file that `fd` stands for now; none, and errno, if the kernel does not say.
  explicit FileIdentity(int fd) noexcept {
    struct stat file{};
    known_ = sys::fstat(fd, &file) == 0;
    device_ = file.st_dev;
    number_ = file.st_ino;
  }
  bool is_known() const noexcept { return known_; }
  /// True if `fd` stands for it, or is open at least, and the kernel has said once but does not say now.
  bool is(int fd) const noexcept {
    const int kept = errno;
    const FileIdentity now(fd);
    const bool same = now.known_ ? now.device_ == device_ && now.number_ == number_ : errno != EBADF;
    errno = kept;
    return known_ && same;
  }

 private:
  bool known_ = false;
  dev_t device_ = 0;
  ino_t number_ = 0;
};

}  // namespace retinue::detail
