// The text files under some folders, cut into parts of about equal size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace word_count {

/// A stretch of a file that begins and ends between words.
struct Slice {
  std::string path;
  std::uint64_t offset;
  std::uint64_t size;
};

/// One task's share: slices of several small files, or one of a large file.
struct Part {
  std::vector<Slice> slices;
  std::uint64_t files = 0;  ///< that begin in this part, so that the sum over all parts is right
  std::uint64_t bytes = 0;
};

struct Corpus {
  std::vector<Slice> slices;  ///< by path and offset
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t binary = 0;      ///< files passed over because they are not text
  std::uint64_t unreadable = 0;  ///< files and folders passed over because they may not be read
};

/// Finds the text files under `folders` (which may be files themselves) and reads each once, so that
/// counting finds them in the page cache. Symbolic links are not followed; what is found twice is taken
/// once. `seen` is called with each text file's size. Throws std::runtime_error if one of `folders` cannot
/// be read; what lies deeper and cannot be read is passed over.
Corpus find_text(const std::vector<std::filesystem::path>& folders, const std::function<void(std::uint64_t)>& seen);

/// The corpus in parts, in its order: large ones first, because few large results are cheaper to add
/// up than many small ones, and ever smaller ones towards the end, so that all workers end together.
std::vector<Part> cut(const Corpus& corpus, unsigned workers);

}  // namespace word_count
