// The main job: the words of real files counted in this process and through a pool, and what the pool
// makes of that and of two other problems.
#include <retinue/retinue.hpp>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "corpus.hpp"
#include "count.hpp"
#include "measure.hpp"
#include "progress.hpp"

namespace {

using namespace word_count;

long fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int tiny(int x) { return x % 1000; }

void require_equal(const std::string& what, std::uint64_t serial, std::uint64_t pool) {
  if (serial == pool) return;
  throw std::runtime_error(what + ": this process says " + std::to_string(serial) + ", the pool " +
                           std::to_string(pool));
}

/// Counts the words of the corpus both ways and prints what is there.
Comparison count_words(retinue::ProcessPool& pool, const Corpus& corpus) {
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
  return {"word count", parts.size(), serial_seconds, pool_seconds};
}

/// The sum of `f` over `inputs`, both ways.
template <class R, class Inputs>
Comparison compare_sums(retinue::ProcessPool& pool, const char* what, R (*f)(int), const Inputs& inputs) {
  R (*volatile unseen)(int) = f;  // else the compiler may work the sum out once for all rounds
  std::uint64_t serial = 0, pooled = 0;
  Comparison comparison = compare(
      what, inputs.size(),
      [&] {
        serial = 0;
        for (const int input : inputs) serial += static_cast<std::uint64_t>(unseen(input));
      },
      [&] {
        pooled = 0;
        for (const R result : pool.map(f, inputs)) pooled += static_cast<std::uint64_t>(result);
      });
  require_equal(what, serial, pooled);
  return comparison;
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
  std::vector<Comparison> comparisons;
  comparisons.push_back(count_words(pool, corpus));
  comparisons.push_back(compare_sums(pool, "fib of 38 down to 33", fib, std::array{38, 37, 36, 35, 34, 33}));
  comparisons.push_back(compare_sums(pool, "a million tiny tasks", tiny, std::views::iota(0, 1'000'000)));
  std::printf("\nWith %u workers:\n", pool.workers());
  print(comparisons);
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
