#include "inherited_descriptors.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "calls.hpp"
#include "fd.hpp"

namespace retinue::detail {
namespace {

/// The number that an entry of /proc/self/fd has for a name; -1 for "." and "..".
int number_of(const char* name) noexcept {
  int number = -1;
  std::from_chars(name, name + std::strlen(name), number);
  return number;
}

}  // namespace

int close_descriptors_but(std::span<const int> kept) noexcept {
  const UniqueFd listing(sys::open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!listing) return errno;
  const UniqueFd placeholder(sys::open("/", O_PATH | O_CLOEXEC));
  if (!placeholder) return errno;
  const auto stays = [&](int fd) {
    return fd <= 2 || fd == listing.get() || fd == placeholder.get() || std::ranges::binary_search(kept, fd);
  };
  alignas(dirent64) char entries[4096];
  for (;;) {
    const ssize_t bytes = sys::getdents64(listing.get(), entries, sizeof entries);
    if (bytes < 0) return errno;
    if (bytes == 0) return 0;
    // Which numbers are taken does not change meanwhile, so that the listing goes on where it was.
    for (ssize_t at = 0; at < bytes;) {
      const auto& entry = *reinterpret_cast<const dirent64*>(entries + at);
      at += entry.d_reclen;
      const int fd = number_of(entry.d_name);
      if (!stays(fd) && sys::dup3(placeholder.get(), fd, O_CLOEXEC) < 0) ::close(fd);
    }
  }
}

}  // namespace retinue::detail
