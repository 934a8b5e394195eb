#include "shared_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <retinue/error.hpp>

#include "system/calls.hpp"
#include "system/memfd.hpp"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace retinue::detail {

SharedFile::SharedFile(int fd, std::byte* base) : number_(fd), fd_(fd), identity_(fd), base_(base) {
  if (!identity_.is_known()) throw_call_failed("fstat", errno, "the shared region");
}

SharedFile::~SharedFile() {
  const int fd = fd_.load(std::memory_order_relaxed);
  if (fd != number_ && identity_.is(fd)) ::close(fd);
}

void SharedFile::set_holder(pid_t process) noexcept {
  const int number = fd();
  if (number < 0) return;
  holder_.store(std::uint64_t{static_cast<std::uint32_t>(process)} << 32 | static_cast<std::uint32_t>(number),
                std::memory_order_relaxed);
}

int SharedFile::fd() const noexcept {
  const int fd = fd_.load(std::memory_order_acquire);
  return identity_.is(fd) ? fd : reopened();
}

int SharedFile::reopened() const noexcept {
  const std::uint64_t holder = holder_.load(std::memory_order_relaxed);
  if (holder == 0) return -1;
  int seen = fd_.load(std::memory_order_relaxed);
  char path[48];
  std::snprintf(path, sizeof path, "/proc/%d/fd/%d", static_cast<int>(holder >> 32),
                static_cast<int>(holder & 0xffff'ffff));
  // The holder may be gone and its number another's: nothing must come of opening that one's files.
  const int fresh = sys::open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fresh < 0) return -1;
  if (!identity_.is(fresh)) {
    ::close(fresh);
    return -1;
  }
  if (fd_.compare_exchange_strong(seen, fresh, std::memory_order_acq_rel)) return fresh;
  ::close(fresh);  // another thread was quicker
  return identity_.is(seen) ? seen : -1;
}

void SharedFile::reserve(std::uint64_t offset, std::uint64_t length) const {
  if (const int descriptor = fd(); descriptor >= 0 || base_ == nullptr) detail::reserve(descriptor, offset, length);
  else reserve_mapped(base_, offset, length);
}

void SharedFile::punch_hole(std::uint64_t offset, std::uint64_t length) const {
  if (const int descriptor = fd(); descriptor >= 0 || base_ == nullptr) detail::punch_hole(descriptor, offset, length);
  else punch_hole_mapped(base_, offset, length);
}

void SharedFile::check_can_reserve(std::uint64_t offset, std::uint64_t length) const {
  if (const int descriptor = fd(); descriptor >= 0) detail::check_can_reserve(descriptor, offset, length);
}

void SharedFile::write(std::uint64_t offset, const void* from, std::uint64_t length) const {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 30;  // as much as one call of the kernel writes
  const auto* bytes = static_cast<const std::byte*>(from);
  for (std::uint64_t done = 0; done < length; done += kPiece) {
    const std::uint64_t n = std::min(kPiece, length - done);
    if (const int descriptor = fd(); descriptor >= 0) {
      detail::write_at(descriptor, offset + done, bytes + done, n);
    } else {  // closed since it was seen last
      reserve_mapped(base_, offset + done, n);
      std::memcpy(base_ + offset + done, bytes + done, n);
    }
  }
}

void SharedFile::touch(std::uint64_t offset, std::uint64_t length) const noexcept {
  // For reading, sixteen pages at a time are mapped, in half the time; in a shared mapping they may be written to as well.
  if (base_ != nullptr) sys::madvise(base_ + offset, length, MADV_POPULATE_READ);
}

std::uint64_t SharedFile::memory() const {
  const int descriptor = fd();
  if (descriptor < 0)
    throw ResourceExhausted("how much shared memory is taken cannot be seen: this process has closed the descriptor",
                            EBADF);
  struct stat file{};
  if (sys::fstat(descriptor, &file) != 0) throw_call_failed("fstat", errno, "the shared region");
  return static_cast<std::uint64_t>(file.st_blocks) * 512;
}

}  // namespace retinue::detail
