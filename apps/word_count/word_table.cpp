#include "word_table.hpp"

#include <algorithm>
#include <cstring>

namespace word_count {
namespace {

constexpr std::size_t kHead = sizeof(Tally::head);

std::uint64_t mix(std::uint64_t x) noexcept {
  x *= 0x9e3779b97f4a7c15;
  return x ^ (x >> 32);
}

std::uint32_t hash_of(std::uint64_t head, std::string_view tail) noexcept {
  std::uint64_t h = mix(head);
  for (; !tail.empty(); tail.remove_prefix(std::min(tail.size(), kHead))) {
    std::uint64_t part = 0;
    std::memcpy(&part, tail.data(), std::min(tail.size(), kHead));
    h = mix(h ^ part);
  }
  return static_cast<std::uint32_t>(h);
}

}  // namespace

const std::array<unsigned char, 256> WordTable::kFold = [] {
  std::array<unsigned char, 256> fold{};
  for (unsigned c = 0; c < 256; ++c) {
    if (c >= 'A' && c <= 'Z') fold[c] = static_cast<unsigned char>(c + 'a' - 'A');
    if ((c >= 'a' && c <= 'z') || c >= 128) fold[c] = static_cast<unsigned char>(c);
  }
  return fold;
}();

void WordTable::count(std::string_view text) {
  std::string tail;  // the folded bytes of a word after its head
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = p + text.size();
  while (true) {
    while (p != end && !is_letter(*p)) ++p;
    if (p == end) return;

    std::uint64_t head = 0;
    std::uint32_t length = 0;
    for (; length < kHead && p != end && is_letter(*p); ++length, ++p) head |= std::uint64_t{kFold[*p]} << (8 * length);
    tail.clear();
    for (; p != end && is_letter(*p); ++length, ++p) tail.push_back(static_cast<char>(kFold[*p]));

    add(Row{head, 1, 0, length, hash_of(head, tail)}, tail.data());
  }
}

void WordTable::add(const Packet& packet) {
  // Words that come in the order of their hashes fill the front of the table first, and would crowd
  // there before its load calls for more room. About half of a packet's words are new.
  while ((distinct_ + packet.tallies.size() / 2) * 2 > rows_.size()) grow();

  // The rows of a batch are asked for together: this table is larger than any cache.
  std::array<std::pair<Row, const char*>, 32> batch;
  std::string_view text = packet.text;
  for (std::size_t begin = 0; begin < packet.tallies.size(); begin += batch.size()) {
    const std::size_t n = std::min(batch.size(), packet.tallies.size() - begin);
    for (std::size_t i = 0; i < n; ++i) {
      const Tally& tally = packet.tallies[begin + i];
      const std::string_view tail = text.substr(0, tally.length > kHead ? tally.length - kHead : 0);
      text.remove_prefix(tail.size());
      batch[i] = {{tally.head, tally.times, 0, tally.length, hash_of(tally.head, tail)}, tail.data()};
      __builtin_prefetch(&rows_[home(batch[i].first.hash)]);
    }
    for (std::size_t i = 0; i < n; ++i) add(batch[i].first, batch[i].second);
  }
}

Packet WordTable::pack() const {
  Packet packet;
  packet.tallies.reserve(distinct_);
  packet.text.reserve(text_.size());
  for (const Row& row : rows_) {
    if (row.times == 0) continue;
    packet.tallies.push_back({row.head, static_cast<std::uint32_t>(row.times), row.length});
    if (row.length > kHead) packet.text.append(text_, row.tail, row.length - kHead);
  }
  return packet;
}

void WordTable::clear() {
  std::ranges::fill(rows_, Row{});
  text_.clear();
  words_ = distinct_ = 0;
}

std::vector<WordTable::Frequency> WordTable::most_frequent(std::size_t n) const {
  std::vector<const Row*> filled;
  for (const Row& row : rows_) {
    if (row.times != 0) filled.push_back(&row);
  }
  n = std::min(n, filled.size());
  std::ranges::partial_sort(
      filled, filled.begin() + static_cast<std::ptrdiff_t>(n),
      [this](const Row* a, const Row* b) { return a->times != b->times ? a->times > b->times : word(*a) < word(*b); });
  std::vector<Frequency> first;
  first.reserve(n);
  for (std::size_t i = 0; i < n; ++i) first.emplace_back(word(*filled[i]), filled[i]->times);
  return first;
}

bool operator==(const WordTable& a, const WordTable& b) {
  if (a.words_ != b.words_ || a.distinct_ != b.distinct_) return false;
  return std::ranges::all_of(a.rows_, [&](const WordTable::Row& row) {
    if (row.times == 0) return true;
    return b.rows_[b.place(row, a.text_.data() + row.tail)].times == row.times;
  });
}

std::size_t WordTable::place(const Row& like, const char* tail) const {
  for (std::size_t at = home(like.hash);; at = next(at)) {
    const Row& row = rows_[at];
    if (row.times == 0) return at;
    if (row.head == like.head && row.hash == like.hash && row.length == like.length &&
        (row.length <= kHead || std::memcmp(text_.data() + row.tail, tail, row.length - kHead) == 0)) {
      return at;
    }
  }
}

void WordTable::add(const Row& like, const char* tail) {
  words_ += like.times;
  Row& row = rows_[place(like, tail)];
  if (row.times != 0) {
    row.times += like.times;
    return;
  }
  row = like;
  row.tail = text_.size();
  if (like.length > kHead) text_.append(tail, like.length - kHead);
  if (++distinct_ * 2 > rows_.size()) grow();
}

void WordTable::grow() {
  std::vector<Row> old(rows_.size() * 2);
  old.swap(rows_);
  for (const Row& row : old) {
    if (row.times == 0) continue;
    std::size_t at = home(row.hash);
    while (rows_[at].times != 0) at = next(at);
    rows_[at] = row;
  }
}

std::string WordTable::word(const Row& row) const {
  std::string word(reinterpret_cast<const char*>(&row.head), std::min<std::size_t>(row.length, kHead));
  if (row.length > kHead) word.append(text_, row.tail, row.length - kHead);
  return word;
}

}  // namespace word_count
