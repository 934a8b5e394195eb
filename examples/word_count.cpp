// Counts words: word_count FILE..., or, without files, over a text of its own making.
#include <retinue/retinue.hpp>

#include <algorithm>
#include <cassert>
#include <cctype>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using Counts = std::map<std::string, long>;

Counts count(std::string_view text) {
  Counts counts;
  const auto is_letter = [](unsigned char c) { return std::isalpha(c) != 0; };
  for (auto at = text.begin();;) {
    const auto first = std::find_if(at, text.end(), is_letter);
    if (first == text.end()) return counts;
    at = std::find_if_not(first, text.end(), is_letter);
    std::string word(first, at);
    for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    ++counts[word];
  }
}

Counts count_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path);
  return count(std::string(std::istreambuf_iterator<char>(in), {}));
}

Counts add(Counts a, const Counts& b) {
  for (const auto& [word, n] : b) a[word] += n;
  return a;
}

std::string make_text(int seed) {
  constexpr const char* kWords[] = {"the", "of", "a", "worker", "task", "process", "and", "slot"};
  std::mt19937 random(static_cast<unsigned>(seed));
  std::string text;
  while (text.size() < 20'000) text += kWords[std::min(random() % 8, random() % 8)] + std::string(", ");
  return text;
}

int main(int argc, char** argv) {
  retinue::ProcessPool pool;
  Counts counts;
  if (argc > 1) {
    // The workers read the files themselves: only a name goes out, and the counts come back. Results of
    // several files are added up in the worker before they travel.
    const std::vector<std::string> files(argv + 1, argv + argc);
    counts = pool.map_reduce(count_file, files, Counts(), add);
  } else {
    std::vector<std::string> texts;
    for (int i = 0; i < 100; ++i) texts.push_back(make_text(i));
    counts = pool.map_reduce(count, texts, Counts(), add);
    Counts serial;
    for (const std::string& text : texts) serial = add(std::move(serial), count(text));
    assert(counts == serial && counts.size() == 8);
  }

  std::vector<std::pair<std::string, long>> top(counts.begin(), counts.end());
  std::ranges::sort(top, std::ranges::greater(), [](const auto& entry) { return entry.second; });
  for (std::size_t i = 0; i < std::min<std::size_t>(5, top.size()); ++i)
    std::cout << top[i].second << ' ' << top[i].first << '\n';
}
