#include "memfd.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <limits>
#include <optional>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <retinue/error.hpp>

#include "calls.hpp"
#include "machine_memory.hpp"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

namespace retinue::detail {
namespace {

constexpr std::uint64_t kAskFrom = std::uint64_t{1} << 20;  // below, reading /proc would cost more than it saves
constexpr std::uint64_t kSmallestPiece = std::uint64_t{1} << 20;

std::string range_text(int fd, std::uint64_t offset, std::uint64_t length) {
  return "fd " + std::to_string(fd) + ", offset " + std::to_string(offset) + ", " + std::to_string(length) + " bytes";
}

// What could still be had without the out-of-memory killer, in bytes; nullopt where /proc does not say. The
// kernel's figure is an estimate, so a part of it is left alone.
std::optional<std::uint64_t> available_memory() noexcept {
  const auto memory = machine_memory();
  if (!memory) return std::nullopt;
  const std::uint64_t bytes = memory->available + memory->swap_free;
  return bytes - bytes / 32;
}

void check_available(const std::string& call, std::uint64_t length) {
  if (length < kAskFrom) return;
  const auto available = available_memory();
  if (available && length > *available) {
    throw ResourceExhausted(call + ": only " + std::to_string(*available) + " bytes of memory and swap can be had",
                            ENOMEM);
  }
}

}  // namespace

void check_can_reserve(int fd, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = offset + length;
  if (end < offset || end > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
    throw ResourceExhausted("fallocate(" + range_text(fd, offset, length) + ")", EFBIG);
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && end > limit.rlim_cur) {
    // The least that is needed to know what to do comes first: without memory, the rest is cut.
    throw ResourceExhausted("ulimit -f (" + std::to_string(limit.rlim_cur) +
                                " bytes) counts for shared memory, too: "
                                "fallocate(" +
                                range_text(fd, offset, length) + ") is beyond it",
                            EFBIG);
  }
  check_available("fallocate(" + range_text(fd, offset, length) + ")", length);
}

namespace {

struct Pages {
  std::uint64_t first, last;
};
// The kernel would zero partial pages at the ends without freeing them; "whole pages" is the promise.
Pages whole_pages(std::uint64_t offset, std::uint64_t length) noexcept {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return {(offset + page - 1) / page * page, (offset + length) / page * page};
}

// Docker, for one, grants 64 MB of it; then the shortage is reported when memory is reserved.
UniqueFd create_unnamed_file(const std::string& refused, int refusal) {
  UniqueFd fd(sys::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (fd) return fd;
  const int error_number = errno;
  if (error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM)
    throw_call_failed("open", error_number, "a nameless file in /dev/shm, for want of " + refused);
  throw Error(refused + " is refused here (errno " + std::to_string(refusal) +
              "), and so is a nameless file in /dev/shm (errno " + std::to_string(error_number) +
              "): process pools need one of them; allow memfd_create, or mount a tmpfs on /dev/shm");
}

}  // namespace

UniqueFd create_memfd(const char* name) {
  // Kernels before 6.3 answer EINVAL to the flag they do not know.
  UniqueFd fd(sys::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));
  if (!fd && errno == EINVAL) fd.reset(sys::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd && (errno == ENOSYS || errno == EPERM || errno == EACCES)) return create_unnamed_file("memfd_create", errno);
  if (!fd) throw_call_failed("memfd_create", errno, std::string("\"") + name + "\"");
  const std::string which = std::string("memfd \"") + name + "\"";
  // Nobody shrinks it, and nobody adds a seal that would keep it from growing or being written.
  if (sys::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
    throw_call_failed("fcntl", errno, "F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL, " + which);
  if (sys::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) throw_call_failed("fchmod", errno, which);
  return fd;
}

void reserve(int fd, std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return;
  check_can_reserve(fd, offset, length);

  // The kernel undoes the whole call when a signal arrives. Under a steady ticking of signals a long call
  // would never end, so each interruption halves the piece that is asked for at once.
  std::uint64_t done = 0;
  std::uint64_t piece = length;
  while (done < length) {
    const std::uint64_t n = std::min(piece, length - done);
    if (sys::fallocate(fd, 0, static_cast<off_t>(offset + done), static_cast<off_t>(n)) == 0) {
      done += n;
    } else if (errno == EINTR) {
      piece = std::max(n / 2, kSmallestPiece);
    } else {
      const int error = errno;
      if (done != 0)
        sys::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                       static_cast<off_t>(done));
      throw_call_failed("fallocate", error, range_text(fd, offset, length));
    }
  }
}

void write_at(int fd, std::uint64_t offset, const void* from, std::uint64_t length) {
  const auto* bytes = static_cast<const std::byte*>(from);
  for (std::uint64_t done = 0; done < length;) {
    const ssize_t n = sys::pwrite(fd, bytes + done, length - done, static_cast<off_t>(offset + done));
    if (n > 0) done += static_cast<std::uint64_t>(n);
    else if (n == 0 || errno != EINTR)
      throw_call_failed("pwrite", n == 0 ? ENOSPC : errno, range_text(fd, offset, length));
  }
}

void punch_hole(int fd, std::uint64_t offset, std::uint64_t length) {
  const Pages pages = whole_pages(offset, length);
  if (pages.first >= pages.last) return;
  while (sys::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(pages.first),
                        static_cast<off_t>(pages.last - pages.first)) != 0) {
    if (errno != EINTR)
      throw_call_failed("fallocate", errno, "FALLOC_FL_PUNCH_HOLE, " + range_text(fd, offset, length));
  }
}

void reserve_mapped(std::byte* base, std::uint64_t offset, std::uint64_t length) {
  if (length == 0) return;
  const std::string what = "MADV_POPULATE_WRITE, " + std::to_string(length) + " bytes at " + std::to_string(offset);
  check_available("madvise(" + what + ")", length);
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t first = offset / page * page, last = (offset + length + page - 1) / page * page;
  while (sys::madvise(base + first, last - first, MADV_POPULATE_WRITE) != 0) {
    int error_number = errno;
    if (error_number == EINTR) continue;
    if (error_number == EFAULT) error_number = ENOSPC;  // which the file system had said
    const Pages whole = whole_pages(offset, length);
    if (whole.first < whole.last) sys::madvise(base + whole.first, whole.last - whole.first, MADV_REMOVE);
    throw_call_failed("madvise", error_number, what);
  }
}

void punch_hole_mapped(std::byte* base, std::uint64_t offset, std::uint64_t length) {
  const Pages pages = whole_pages(offset, length);
  if (pages.first >= pages.last) return;
  while (sys::madvise(base + pages.first, pages.last - pages.first, MADV_REMOVE) != 0) {
    if (errno != EINTR)
      throw_call_failed("madvise", errno,
                        "MADV_REMOVE, " + std::to_string(length) + " bytes at " + std::to_string(offset));
  }
}

}  // namespace retinue::detail
