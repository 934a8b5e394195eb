// The line on the terminal that says how far a pass over the files has come.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace word_count {

/// Rewrites one line of standard error about ten times a second; silent where that is no terminal.
/// The line is wiped when the object ends.
class Progress {
 public:
  /// With `bytes` zero, what is ahead is unknown: no shares and no remaining time are shown.
  explicit Progress(std::string title, std::uint64_t files = 0, std::uint64_t bytes = 0);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void advance(std::uint64_t files, std::uint64_t bytes);

 private:
  using Clock = std::chrono::steady_clock;
  void show();

  const std::string title_;
  const std::uint64_t all_files_, all_bytes_;
  const bool on_terminal_;
  const Clock::time_point began_ = Clock::now();
  Clock::time_point next_ = began_;
  std::uint64_t files_ = 0, bytes_ = 0;
};

}  // namespace word_count
