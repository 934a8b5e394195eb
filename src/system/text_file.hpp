// Reading the small files in which the kernel reports on the machine and its processes.
#pragma once

#include <optional>
#include <string>

namespace retinue::detail {

/// All of a file such as those of /proc; nullopt if it cannot be opened or read. Throws bad_alloc only.
std::optional<std::string> text_of_file(const std::string& path);

}  // namespace retinue::detail
