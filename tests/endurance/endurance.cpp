// Limits and endurance by hand: many pools, many workers, many tasks, an hour of steady load.
#include "modes.hpp"

#include <charconv>
#include <cstring>
#include <exception>
#include <iostream>
#include <map>
#include <string_view>

namespace {

using endurance::Options;

constexpr const char* kUsage = R"(usage: endurance MODE [option value]...

modes
  pools    100 pools made, used and dropped in a row, then as many at once
  workers  a pool of 1,000 workers: started, a task each at the same time, all killed and replaced, ended
  tasks    10 million tasks by submit of many and then get, by map, by map_unordered; a tenth of that one by one
  steady   an hour of mixed load: small tasks, large arguments and results, exceptions, timeouts, crashes, kills from
           outside, cancels, callbacks, shared arrays, pools made and dropped beside it

options
  --count N        pools, workers or tasks, instead of the above
  --workers N      of a pool in tasks and steady (4)
  --seconds N      how long steady goes on (3600)
  --sample N       steady: a sample every so many seconds, when the pool has come to rest (20)
  --rest N         steady: before a sample all is quiet for so many seconds (5)
  --pause MS       steady: each client rests so long between two steps (0)
  --seed N         what is random comes from it (1)
  --csv FILE       appends each sample to FILE
  --allow-kb N     growth of memory that is no growth (1024)
  --allow-count N  growth of descriptors, mappings, threads, processes that is none (0.5)

Growth is the mean of the last quarter of the samples less the mean of the second quarter; below three standard errors
it is taken for coming and going. Exit status: 0 if nothing grew, 1 if something did or a task ended otherwise than it should, 2 if it was called wrongly.
)";

template <class T>
T number(std::string_view option, std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::invalid_argument(std::string(option) + ": \"" + std::string(text) + "\" is no number that it can take");
  return value;
}

Options options_of(int argc, char** argv) {
  Options options;
  for (int i = 2; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(std::string(name) + " needs a value");
    const std::string_view value = argv[i + 1];
    if (name == "--count") options.count = number<std::uint64_t>(name, value);
    else if (name == "--workers") options.workers = number<unsigned>(name, value);
    else if (name == "--seconds") options.seconds = std::chrono::seconds(number<unsigned>(name, value));
    else if (name == "--sample") options.sample = std::chrono::seconds(number<unsigned>(name, value));
    else if (name == "--rest") options.rest = std::chrono::seconds(number<unsigned>(name, value));
    else if (name == "--pause") options.pause = std::chrono::milliseconds(number<unsigned>(name, value));
    else if (name == "--seed") options.seed = number<std::uint64_t>(name, value);
    else if (name == "--csv") options.csv = value;
    else if (name == "--allow-kb") options.allowed.kilobytes = number<double>(name, value);
    else if (name == "--allow-count") options.allowed.count = number<double>(name, value);
    else throw std::invalid_argument("there is no option " + std::string(name));
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string_view, bool (*)(const Options&)> modes = {{"pools", endurance::run_pools},
                                                                      {"workers", endurance::run_workers},
                                                                      {"tasks", endurance::run_tasks},
                                                                      {"steady", endurance::run_steady}};
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--help") != 0 && std::strcmp(argv[i], "-h") != 0) continue;
    std::cout << kUsage;
    return 0;
  }
  const auto mode = argc > 1 ? modes.find(argv[1]) : modes.end();
  if (mode == modes.end()) {
    std::cerr << kUsage;
    return 2;
  }
  try {
    const Options options = options_of(argc, argv);
    return mode->second(options) ? 0 : 1;
  } catch (const std::invalid_argument& e) {
    std::cerr << "endurance: " << e.what() << "; see endurance --help\n";
    return 2;
  } catch (const std::exception& e) {
    std::cerr << "endurance: " << e.what() << '\n';
    return 1;
  }
}
