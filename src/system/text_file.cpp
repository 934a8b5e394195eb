#include "text_file.hpp"

#include <cerrno>
#include <fcntl.h>

#include "calls.hpp"
#include "fd.hpp"

namespace retinue::detail {

std::optional<std::string> text_of_file(const std::string& path) {
  const UniqueFd file(sys::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::string text;
  for (;;) {
    char bytes[4096];
    const ssize_t n = sys::read(file.get(), bytes, sizeof bytes);
    if (n == 0) return text;
    if (n > 0) text.append(bytes, static_cast<std::size_t>(n));
    else if (errno != EINTR) return std::nullopt;
  }
}

}  // namespace retinue::detail
