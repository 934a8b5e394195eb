// How often each word occurs: an open-addressing table, and the bytes in which it travels.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace word_count {

/// One word as it travels: 16 bytes and, for a word longer than eight, the rest of it in the text.
struct Tally {
  std::uint64_t head;    ///< the first eight bytes; those a shorter word lacks are zero
  std::uint32_t times;   ///< how often the word was met
  std::uint32_t length;  ///< of the whole word, in bytes
};

/// A whole table as it travels: the rests of the longer words follow each other in `text`.
struct Packet {
  std::vector<Tally> tallies;
  std::string text;
};

/// A word is a run of ASCII letters and of bytes above 127 (letters of other scripts, mostly), with
/// its ASCII letters made small. Not thread-safe. Invariant: at most half of the rows are filled.
class WordTable {
 public:
  using Frequency = std::pair<std::string, std::uint64_t>;

  WordTable() : rows_(kFirstSize) {}

  /// Counts the words of `text`, which begins and ends between words.
  void count(std::string_view text);
  /// Adds what another table counted.
  void add(const Packet& packet);
  /// This table's words, which were counted in less than 4 GB of text.
  Packet pack() const;
  /// Forgets all words and keeps the memory, which is warm.
  void clear();

  std::uint64_t words() const noexcept { return words_; }        ///< counted, with repeats
  std::uint64_t distinct() const noexcept { return distinct_; }  ///< different ones
  /// The `n` most frequent words; those that are equally frequent, in the order of their bytes.
  std::vector<Frequency> most_frequent(std::size_t n) const;
  /// True if both hold the same words, each as often.
  friend bool operator==(const WordTable& a, const WordTable& b);

  /// True for a byte that words are made of.
  static bool is_letter(unsigned char c) noexcept { return kFold[c] != 0; }

 private:
  struct Row {
    std::uint64_t head;
    std::uint64_t times;  // zero marks an empty row
    std::uint64_t tail;   // where in text_ the bytes after the eighth begin
    std::uint32_t length;
    std::uint32_t hash;
  };

  static constexpr std::size_t kFirstSize = std::size_t{1} << 14;  // a power of two
  static const std::array<unsigned char, 256> kFold;               // a letter made small, or 0

  /// The row of the word that `like` and `tail` spell, or the empty row where it belongs.
  std::size_t place(const Row& like, const char* tail) const;
  /// Adds `like.times` to that word.
  void add(const Row& like, const char* tail);
  /// Where the search for a hash begins: by its upper bits, so that tables of all sizes hold the same
  /// words in the same order and adding one to another walks both from front to back.
  std::size_t home(std::uint32_t hash) const noexcept { return (hash * rows_.size()) >> 32; }
  std::size_t next(std::size_t at) const noexcept { return (at + 1) & (rows_.size() - 1); }
  void grow();
  std::string word(const Row& row) const;

  std::vector<Row> rows_;
  std::string text_;
  std::uint64_t words_ = 0;
  std::uint64_t distinct_ = 0;
};

}  // namespace word_count
