#include "progress.hpp"

#include <cstdio>
#include <unistd.h>
#include <utility>

namespace word_count {

Progress::Progress(std::string title, std::uint64_t files, std::uint64_t bytes)
    : title_(std::move(title)), all_files_(files), all_bytes_(bytes), on_terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (on_terminal_) std::fputs("\r\033[K", stderr);
}

void Progress::advance(std::uint64_t files, std::uint64_t bytes) {
  files_ += files;
  bytes_ += bytes;
  if (!on_terminal_ || Clock::now() < next_) return;
  show();
  next_ = Clock::now() + std::chrono::milliseconds(100);
}

void Progress::show() {
  const double seconds = std::chrono::duration<double>(Clock::now() - began_).count();
  const double megabytes = static_cast<double>(bytes_) / 1e6;
  const double rate = seconds > 0 ? megabytes / seconds : 0;
  if (all_bytes_ == 0) {
    std::fprintf(stderr, "\r%-8s %ju files  %.0f MB  %.0f MB/s\033[K", title_.c_str(), std::uintmax_t{files_},
                 megabytes, rate);
    return;
  }
  const double all = static_cast<double>(all_bytes_) / 1e6;
  std::fprintf(stderr, "\r%-8s %ju/%ju files  %.0f/%.0f MB  %.0f MB/s  ETA %.1f s\033[K", title_.c_str(),
               std::uintmax_t{files_}, std::uintmax_t{all_files_}, megabytes, all, rate,
               rate > 0 ? (all - megabytes) / rate : 0.0);
}

}  // namespace word_count
