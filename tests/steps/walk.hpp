// Where walks of a worker through its code have been: which instructions, and which transitions of the model.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "support/build_places.hpp"
#include "diagnostics/symbol_table.hpp"
#include "traced_process.hpp"

namespace retinue_test {

/// The program's own code, with that of the engine. Outside are the C and C++ libraries.
class OwnCode {
 public:
  OwnCode() {
    char program[4096] = {};
    (void)!::readlink("/proc/self/exe", program, sizeof program - 1);
    std::istringstream maps(text_of("/proc/self/maps"));
    for (std::string line; std::getline(maps, line);) {
      std::istringstream fields(line);
      std::uint64_t first = 0, last = 0;
      char dash = 0;
      std::string access, offset, device, inode, path;
      fields >> std::hex >> first >> dash >> last >> access >> offset >> device >> inode >> path;
      if (access.size() > 2 && access[2] == 'x' && (path == program || path.find("/libretinue") != std::string::npos))
        ranges_.emplace_back(first, last);
    }
  }
  bool has(std::uint64_t pc) const {
    for (const auto& [first, last] : ranges_)
      if (pc >= first && pc < last) return true;
    return false;
  }

 private:
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges_;
};

/// Which lines of the worker's sources a comment `// Model: NAME` stands for: its own, or the statement that follows.
class Transitions {
 public:
  static const Transitions& all() {
    static const Transitions known;
    return known;
  }
  /// The names of those that the instruction at `pc` belongs to.
  const std::set<std::string>& at(std::uint64_t pc) const {
    if (const auto seen = seen_.find(pc); seen != seen_.end()) return seen->second;
    std::set<std::string>& names = seen_[pc];
    for (const auto& frame : retinue::detail::look_up(&pc, 1)) {
      have_lines_ = have_lines_ || frame.line != 0;
      if (frame.file.find("src/processes/") == std::string::npos) continue;
      const auto line = lines_.find({frame.file.substr(frame.file.rfind('/') + 1), frame.line});
      if (line != lines_.end()) names.insert(line->second.begin(), line->second.end());
    }
    return names;
  }
  /// False in a program without line tables, or without libdw, which reads them.
  bool have_lines() const { return have_lines_; }

 private:
  Transitions() {
    read("worker_loop.cpp");
    read("control.cpp");
  }

  void read(const std::string& file) {
    std::ifstream text(source_folder() + "/src/processes/" + file);
    std::set<std::string> above;  // named by a comment of its own, for the statement after it
    int number = 0;
    for (std::string line; std::getline(text, line);) {
      ++number;
      const auto comment = line.find("// Model: ");
      std::set<std::string> names;
      if (comment != std::string::npos) {
        std::istringstream words(line.substr(comment + 10));
        for (std::string word; words >> word;) names.insert(word.substr(0, word.find(',')));
        if (line.find_first_not_of(' ') == comment) {
          above = names;
          continue;
        }
      }
      names.insert(above.begin(), above.end());
      if (names.empty()) continue;
      lines_[{file, number}] = names;
      const auto last = line.substr(0, line.find("//")).find_last_not_of(' ');
      if (last != std::string::npos && (line[last] == ';' || line[last] == '{')) above.clear();
    }
    if (number == 0) throw std::runtime_error(source_folder() + "/src/processes/" + file + " cannot be read");
  }

  std::map<std::pair<std::string, int>, std::set<std::string>> lines_;
  mutable std::unordered_map<std::uint64_t, std::set<std::string>> seen_;
  mutable bool have_lines_ = false;
};

/// Collects the places of walks in single steps. Of loops it keeps two rounds. Of ways outside the program's own code,
/// where nothing is shared, it keeps the first 16 steps, then every 32nd, then none: the dynamic linker takes thousands.
class Walks {
 public:
  void begin() {
    visits_.clear();
    at_ = {};
    started_ = false;
    ++walks_;
  }
  /// The walk has come to `pc`.
  void arrive(std::uint64_t pc) {
    ++steps_;
    if (own_.has(pc)) {
      instructions_.insert(pc);
      at_ = {pc, ++visits_[pc], 0};
    } else if (started_) {
      ++at_.beyond;
    }
    started_ = true;
    const bool keep = at_.visit <= 2 && (at_.beyond <= 16 || (at_.beyond <= 256 && at_.beyond % 32 == 0));
    if (keep && ++walks_to_[at_] == 1) places_.push_back(at_);
  }
  /// Where the walk is.
  const Place& at() const { return at_; }

  const std::vector<Place>& places() const { return places_; }
  unsigned walks() const { return walks_; }
  /// Whether only one walk has come there: by chance, for instance because another worker took the task first.
  bool was_by_chance(const Place& place) const { return walks_to_.at(place) == 1; }
  std::uint64_t steps() const { return steps_; }
  std::size_t instructions() const { return instructions_.size(); }
  std::set<std::string> transitions() const {
    std::set<std::string> names;
    for (const std::uint64_t pc : instructions_) {
      const auto& found = Transitions::all().at(pc);
      names.insert(found.begin(), found.end());
    }
    return names;
  }

 private:
  const OwnCode own_;
  std::unordered_map<std::uint64_t, unsigned> visits_;  // on this walk
  Place at_;
  bool started_ = false;
  std::vector<Place> places_;
  std::map<Place, unsigned> walks_to_;
  std::set<std::uint64_t> instructions_;
  unsigned walks_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace retinue_test
