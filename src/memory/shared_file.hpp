// The region's file, in a process whose descriptors others may close.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <sys/types.h>

#include "system/file_identity.hpp"

namespace retinue::detail {

/// Code that closes every descriptor closes the region's too, and the next file that the program opens gets its number.
/// So before each of the rare uses it is seen whether the number still stands for the region's file: nobody else's file is ever
/// grown, punched or mapped. If it does not, the file is opened again through a process of the family that has it; if
/// that may not be, memory is reserved and freed through the mapping.
///
/// Thread-safe. A program that closes descriptors in one thread while another is between the look and the use is not caught.
class SharedFile {
 public:
  /// `fd` stays the caller's. `base`: where the file is mapped from its beginning, shared and writable; null: nowhere.
  /// Throws ResourceExhausted or Error.
  explicit SharedFile(int fd, std::byte* base = nullptr);
  ~SharedFile();
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  std::byte* base() const noexcept { return base_; }
  /// Set while no other thread uses it.
  void set_base(std::byte* base) noexcept { base_ = base; }
  /// A process that has just inherited the descriptor, and closes nothing.
  void set_holder(pid_t process) noexcept;

  /// A descriptor of the file; -1 if there is none any more.
  int fd() const noexcept;
  bool is_fd(int fd) const noexcept { return identity_.is(fd); }

  /// See system/memfd.hpp, for the errors too.
  void reserve(std::uint64_t offset, std::uint64_t length) const;
  void punch_hole(std::uint64_t offset, std::uint64_t length) const;
  void check_can_reserve(std::uint64_t offset, std::uint64_t length) const;
  void write(std::uint64_t offset, const void* from, std::uint64_t length) const;
  /// Brings memory that was written into this process's mapping, as far as the kernel can.
  void touch(std::uint64_t offset, std::uint64_t length) const noexcept;
  /// Bytes of memory that the file takes. Throws Error if the kernel does not say, or cannot be asked.
  std::uint64_t memory() const;

 private:
  int reopened() const noexcept;

  const int number_;             // the caller's
  mutable std::atomic<int> fd_;  // the same, or of our own
  FileIdentity identity_;
  std::byte* base_;
  std::atomic<std::uint64_t> holder_{0};  // process, and the file's number there in the lower half
};

}  // namespace retinue::detail
