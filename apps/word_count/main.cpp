// The main job: the words of real files counted in this process and through a pool, which must agree.
#include <retinue/retinue.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "corpus.hpp"
#include "count.hpp"
#include "progress.hpp"
#include "timing.hpp"

namespace {

using namespace word_count;
using retinue_timing::duration;
using retinue_timing::seconds;

void require_equal(const std::string& what, std::uint64_t serial, std::uint64_t pool) {
  if (serial == pool) return;
  throw std::runtime_error(what + ": this process says " + std::to_string(serial) + ", the pool " +
                           std::to_string(pool));
}

/// Counts the words of the corpus both ways and prints what is there, and how long it took.
void count_words(retinue::ProcessPool& pool, const Corpus& corpus) {
  const std::vector<Part> parts = cut(corpus, pool.workers());

  WordTable serial;
  const double serial_seconds = seconds([&] {
    Progress progress("serial", corpus.files, corpus.bytes);
    for (const Part& part : parts) {
      count(part, serial);
      progress.advance(part.files, part.bytes);
    }
  });

  WordTable together;
  const double pool_seconds = seconds([&] {
    Progress progress("pool", corpus.files, corpus.bytes);
    for (const Counted& counted : pool.map_unordered(count_apart, parts)) {
      together.add(counted.words);
      progress.advance(counted.files, counted.bytes);
    }
  });

  require_equal("words", serial.words(), together.words());
  require_equal("different words", serial.distinct(), together.distinct());
  if (!(serial == together)) throw std::runtime_error("this process and the pool differ in how often some words occur");

  std::printf("%ju words, %ju different; this process and the pool agree. The most frequent:\n",
              std::uintmax_t{serial.words()}, std::uintmax_t{serial.distinct()});
  for (const auto& [word, times] : together.most_frequent(10)) {
    std::printf("%12ju  %s\n", std::uintmax_t{times}, word.c_str());
  }
  std::printf("Counting took %s in this process, and %s by %u workers.\n", duration(serial_seconds).c_str(),
              duration(pool_seconds).c_str(), pool.workers());
}

int run(const std::vector<std::filesystem::path>& folders) {
  const Corpus corpus = [&] {
    Progress progress("reading");
    return find_text(folders, [&](std::uint64_t bytes) { progress.advance(1, bytes); });
  }();
  std::printf("%ju text files, %.1f MB", std::uintmax_t{corpus.files}, static_cast<double>(corpus.bytes) / 1e6);
  std::printf(" (passed over: %ju binary, %ju unreadable)\n", std::uintmax_t{corpus.binary},
              std::uintmax_t{corpus.unreadable});
  if (corpus.files == 0) {
    std::fputs("word_count: no text files there to count\n", stderr);
    return 1;
  }

  retinue::ProcessPool pool;
  count_words(pool, corpus);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::filesystem::path> folders = {"/usr/share", "/usr/include"};
  retinue_command_line::CommandLine line(
      "word_count",
      "Counts the words of the text files under the FOLDERs in this process and through "
      "a pool of worker\nprocesses, and compares.");
  line.add_option("FOLDER", folders, "by default /usr/share and /usr/include")->option_text("...");
  line.set_version_flag("--version", "word_count " + std::string(retinue::version()), "prints the version and ends");
  line.footer(
      "Exit status: 0 if both counts agree, 1 if they differ or something failed, 2 if the command line is wrong.");
  if (const auto status = line.parse_or_end(argc, argv)) return *status;

  try {
    return run(folders);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "word_count: %s\n", e.what());
    return 1;
  }
}
