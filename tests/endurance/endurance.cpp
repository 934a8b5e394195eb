// Limits and endurance by hand: many pools, many workers, many tasks, an hour of steady load.
#include "command_line.hpp"
#include "modes.hpp"

#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <type_traits>

namespace {

using endurance::Options;

constexpr const char* kModes = R"(The modes:
  pools    100 pools made, used and dropped in a row, then as many at once
  workers  a pool of 1,000 workers: started, a task each at the same time, all killed and replaced, ended
  tasks    10 million tasks by submit of many and then get, by map, by map_unordered; a tenth of that one by one
  steady   an hour of mixed load: small tasks, large arguments and results, exceptions, timeouts, crashes, kills from
           outside, cancels, callbacks, shared arrays, pools made and dropped beside it

Growth is the mean of the last quarter of the samples less the mean of the second quarter; below three standard errors
it is taken for coming and going. Exit status: 0 if nothing grew, 1 if something did or a task ended otherwise than it
should, 2 if it was called wrongly.)";

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, bool (*)(const Options&)> modes = {{"pools", endurance::run_pools},
                                                                 {"workers", endurance::run_workers},
                                                                 {"tasks", endurance::run_tasks},
                                                                 {"steady", endurance::run_steady}};
  Options options;
  std::string mode;
  retinue_command_line::CommandLine line("endurance", "Limits and endurance of pools, by hand.");
  const auto number = [&](const char* name, auto& value, const char* text) {
    line.add_option(name, value, text)->check(retinue_command_line::whole_number)->option_text("N");
  };
  const auto duration = [&](const char* name, auto& value, const char* text) {
    line.add_option_function<unsigned>(
            name, [&value](unsigned n) { value = std::remove_reference_t<decltype(value)>(n); }, text)
        ->check(retinue_command_line::whole_number)
        ->option_text("N");
  };
  line.add_option("MODE", mode, "what is tried, see below")
      ->required()
      ->option_text(" ")
      ->check([&](const std::string& name) { return modes.contains(name) ? "" : "there is no mode \"" + name + "\""; });
  number("--count", options.count, "pools, workers or tasks, instead of what stands below");
  number("--workers", options.workers, "of a pool in tasks and steady (4)");
  duration("--seconds", options.seconds, "how long steady goes on (3600)");
  duration("--sample", options.sample, "steady: a sample every so many seconds, when the pool has come to rest (20)");
  duration("--rest", options.rest, "steady: before a sample all is quiet for so many seconds (5)");
  duration("--pause", options.pause, "steady: each client rests so many milliseconds between two steps (0)");
  number("--seed", options.seed, "what is random comes from it (1)");
  line.add_option("--csv", options.csv, "appends each sample to FILE")->option_text("FILE");
  line.add_option("--allow-kb", options.allowed.kilobytes, "growth of memory that is no growth (1024)")
      ->option_text("N");
  line.add_option("--allow-count", options.allowed.count,
                  "growth of descriptors, mappings, threads, processes that is none (0.5)")
      ->option_text("N");
  line.footer(kModes);
  if (const auto status = line.parse_or_end(argc, argv)) return *status;

  try {
    return modes.at(mode)(options) ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "endurance: " << e.what() << '\n';
    return 1;
  }
}
