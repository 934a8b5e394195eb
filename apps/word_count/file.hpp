// Reading a file by blocks into a buffer that is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace word_count {

/// A file open for reading. What cannot be opened or read is not ok() and reads as empty: files may
/// vanish while they are counted.
class File {
 public:
  explicit File(const std::string& path);
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  bool ok() const noexcept { return fd_ >= 0; }
  /// Fills `into` from `offset` on, short only at the file's end; returns the number of bytes.
  std::size_t read(std::uint64_t offset, std::span<char> into);

 private:
  int fd_;
};

}  // namespace word_count
