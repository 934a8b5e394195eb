#include "file.hpp"

#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace word_count {

File::File(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

File::~File() {
  if (fd_ >= 0) ::close(fd_);
}

std::size_t File::read(std::uint64_t offset, std::span<char> into) {
  std::size_t filled = 0;
  while (fd_ >= 0 && filled < into.size()) {
    const ssize_t n = ::pread(fd_, into.data() + filled, into.size() - filled, static_cast<off_t>(offset + filled));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    filled += static_cast<std::size_t>(n);
  }
  return filled;
}

}  // namespace word_count
