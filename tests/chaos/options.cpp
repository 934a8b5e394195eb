#include "options.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <sstream>
#include <string_view>

#include "sanitized.hpp"

namespace retinue_chaos {
namespace {

constexpr const char* kHelp = R"(chaos: tries a process pool with random tasks, under random faults

  --seconds S        for so long (20)
  --tasks N          until so many tasks have ended, instead of for a time ...
  --kills N          ... and so many workers were killed from outside, about evenly spread over the tasks
  --seed N           the plan of tasks and faults is that of this seed; otherwise RETINUE_TEST_SEED, or a new one
  --round N          this round of the plan alone: what a failure asks to be repeated
  --repeat N         runs it so often, or until it fails
  --round-tasks N    about so many tasks in a round (600)
  --only K[,K...]    no kinds of tasks and faults but these
  --without K[,K...] leaves these kinds out
  --plan             says what would be done, and does not do it
  --patience S       a hang is told when nothing has moved for so long (30, times RETINUE_TEST_TIME_FACTOR)
  --wait             a hang is kept for a debugger
  --quiet            no line for the progress
  --help

Ends with 0 if each task ended as it may and nothing was left, with 1 if not, with 2 after a wrong argument, with 3
after a hang. The kinds:
)";

[[noreturn]] void help() {
  std::fputs(kHelp, stdout);
  std::string line = " ";
  for (const std::string_view kind : all_kinds()) {
    if (line.size() + kind.size() > 100) {
      std::puts(line.c_str());
      line = " ";
    }
    line += " " + std::string(kind);
  }
  std::puts(line.c_str());
  std::exit(0);
}

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "chaos: %s; --help says what there is\n", why.c_str());
  std::exit(2);
}

std::uint64_t number(const std::string& option, const char* text) {
  char* end = nullptr;
  const std::uint64_t n = std::strtoull(text, &end, 0);
  if (*text < '0' || *text > '9' || *end != '\0') refuse(option + " wants a number, not \"" + text + "\"");
  return n;
}

std::vector<std::string> kinds(const char* text) {
  std::vector<std::string> names;
  std::istringstream list(text);
  const auto known = all_kinds();
  for (std::string name; std::getline(list, name, ',');) {
    if (std::ranges::find(known, name) == known.end()) refuse("there is no kind \"" + name + "\"");
    names.push_back(name);
  }
  return names;
}

}  // namespace

Options Options::parse(int argc, char** argv) {
  Options o;
  bool seeded = false;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--help") help();
    if (option == "--plan") {
      o.plan_only = true;
      continue;
    }
    if (option == "--wait") {
      o.waits = true;
      continue;
    }
    if (option == "--quiet") {
      o.quiet = true;
      continue;
    }
    static constexpr std::string_view kKnown[] = {"--seconds", "--tasks",       "--kills",    "--seed", "--round",
                                                  "--repeat",  "--round-tasks", "--patience", "--only", "--without"};
    if (std::ranges::find(kKnown, option) == std::end(kKnown)) refuse("there is no option " + option);
    if (++i == argc) refuse(option + " wants a value");
    const char* value = argv[i];
    if (option == "--only") {
      for (const std::string_view kind : all_kinds()) o.measure.without.insert(std::string(kind));
      for (const std::string& kind : kinds(value)) o.measure.without.erase(kind);
    } else if (option == "--without") {
      for (const std::string& kind : kinds(value)) o.measure.without.insert(kind);
    } else if (option == "--seconds") {
      o.seconds = static_cast<double>(number(option, value));
    } else if (option == "--tasks") {
      o.tasks = number(option, value);
    } else if (option == "--kills") {
      o.kills = number(option, value);
    } else if (option == "--seed") {
      o.seed = number(option, value);
      seeded = true;
    } else if (option == "--round") {
      o.round = number(option, value);
    } else if (option == "--repeat") {
      o.repeat = number(option, value);
    } else if (option == "--round-tasks") {
      o.measure.tasks = std::clamp<std::uint64_t>(number(option, value), 1, 16'000);
    } else {
      o.patience = static_cast<unsigned>(number(option, value));
    }
  }
  if (const char* given = std::getenv("RETINUE_TEST_SEED"); given != nullptr && !seeded)
    o.seed = number("RETINUE_TEST_SEED", given);
  else if (!seeded) o.seed = std::random_device{}();
  if (const char* factor = std::getenv("RETINUE_TEST_TIME_FACTOR"))
    o.patience *= static_cast<unsigned>(std::clamp(std::atoi(factor), 1, 100));
  if (o.kills != 0 && o.tasks == 0) refuse("--kills wants --tasks, over which they are spread");
  // A little more than asked for: some find nobody to kill.
  if (o.tasks != 0 && o.kills != 0)
    o.measure.kills_per_task = 1.02 * static_cast<double>(o.kills) / static_cast<double>(o.tasks);
  // These a sanitizer would report, or end the program for; and it has its own way to the clock.
  if (kSanitized)
    for (const char* kind :
         {"exhaust-memory", "descriptors", "exhaust-descriptors", "hoard-descriptors", "fork-owner", "clock"})
      o.measure.without.insert(kind);
  // In a worker it still has a list of the threads that the owner had, and takes a new one at the same address for one
  // of them ("dup thread with used id"): it ends a worker that makes a pool.
  if (kThreadSanitized) o.measure.without.insert("nest");
  return o;
}

std::string Options::to_repeat(std::uint64_t round_number) const {
  std::ostringstream text;
  text << "--seed " << seed << " --round " << round_number;
  if (measure.tasks != Measure{}.tasks) text << " --round-tasks " << measure.tasks;
  if (tasks != 0 && kills != 0) text << " --tasks " << tasks << " --kills " << kills;
  std::string list;
  for (const std::string& kind : measure.without) list += (list.empty() ? "" : ",") + kind;
  if (!list.empty()) text << " --without " << list;
  return text.str();
}

}  // namespace retinue_chaos
