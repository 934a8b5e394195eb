#include "corpus.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "file.hpp"
#include "word_table.hpp"

namespace word_count {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSmallestPart = std::uint64_t{1} << 20;
constexpr std::uint64_t kLargestPart = std::uint64_t{32} << 20;
constexpr std::size_t kBlock = kSmallestPart;  // a slice is no longer than this
constexpr std::size_t kLooked = 4096;          // bytes by which text is told from the rest

/// Text has no control characters but those that lay it out or colour it.
bool is_text(std::string_view begin) {
  return std::ranges::none_of(begin, [](char signed_c) {
    const auto c = static_cast<unsigned char>(signed_c);
    return (c < ' ' && (c < '\b' || c > '\r') && c != '\033') || c == 127;
  });
}

/// The bytes of `block` up to the end of its last whole word; all of it if it is one endless word.
std::size_t whole_words(std::string_view block) {
  std::size_t end = block.size();
  while (end > 0 && WordTable::is_letter(static_cast<unsigned char>(block[end - 1]))) --end;
  return end > 0 ? end : block.size();
}

class Search {
 public:
  explicit Search(const std::function<void(std::uint64_t)>& seen) : seen_(seen), block_(kBlock) {}

  void find(const fs::path& top) {
    if (fs::is_regular_file(top)) {
      files_.insert(top.string());
      return;
    }
    std::vector<fs::path> ahead{top};
    while (!ahead.empty()) {
      const fs::path at = std::move(ahead.back());
      ahead.pop_back();
      std::error_code error;
      fs::directory_iterator entries(at, error);
      if (error && at == top) throw std::runtime_error("cannot read " + top.string() + ": " + error.message());
      for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
        std::error_code unknown;
        const fs::file_status status = entries->symlink_status(unknown);
        if (fs::is_directory(status)) ahead.push_back(entries->path());
        if (fs::is_regular_file(status)) files_.insert(entries->path().string());
      }
      if (error) ++corpus_.unreadable;
    }
  }

  Corpus read_all() {
    for (const std::string& path : files_) read(path);
    return std::move(corpus_);
  }

 private:
  void read(const std::string& path) {
    File file(path);
    if (!file.ok()) {
      ++corpus_.unreadable;
      return;
    }
    if (!is_text({block_.data(), file.read(0, {block_.data(), kLooked})})) {
      ++corpus_.binary;
      return;
    }
    std::uint64_t offset = 0;
    while (const std::size_t n = file.read(offset, block_)) {
      const std::size_t size = n < block_.size() ? n : whole_words({block_.data(), n});
      corpus_.slices.push_back({path, offset, size});
      offset += size;
    }
    if (offset == 0) return;
    ++corpus_.files;
    corpus_.bytes += offset;
    seen_(offset);
  }

  const std::function<void(std::uint64_t)>& seen_;
  std::vector<char> block_;
  std::set<std::string> files_;
  Corpus corpus_;
};

}  // namespace

Corpus find_text(const std::vector<fs::path>& folders, const std::function<void(std::uint64_t)>& seen) {
  Search search(seen);
  for (const fs::path& folder : folders) search.find(fs::absolute(folder).lexically_normal());
  return search.read_all();
}

std::vector<Part> cut(const Corpus& corpus, unsigned workers) {
  std::vector<Part> parts;
  std::uint64_t left = corpus.bytes;
  std::uint64_t wanted = 0;
  for (const Slice& slice : corpus.slices) {
    if (parts.empty() || parts.back().bytes >= wanted) {
      wanted = std::clamp(left / (4 * workers), kSmallestPart, kLargestPart);
      parts.push_back({});
    }
    Part& part = parts.back();
    part.files += slice.offset == 0;
    part.bytes += slice.size;
    left -= slice.size;
    part.slices.push_back(slice);
  }
  return parts;
}

}  // namespace word_count
