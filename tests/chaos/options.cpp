#include "options.hpp"

#include <algorithm>
#include <cstdlib>
#include <random>
#include <sstream>
#include <string_view>

#include "command_line.hpp"
#include "sanitized.hpp"

namespace retinue_chaos {
namespace {

/// All kinds, after what --help says of the options.
std::string footer() {
  std::string text =
      "Ends with 0 if each task ended as it may and nothing was left, with 1 if not, with 2 after a wrong argument, "
      "with 3\n"
      "after a hang. The kinds:\n ";
  std::size_t width = 0;
  for (const std::string_view kind : all_kinds()) {
    if (width + kind.size() > 100) {
      text += "\n ";
      width = 0;
    }
    text += " " + std::string(kind);
    width += 1 + kind.size();
  }
  return text;
}

std::string known_kind(const std::string& name) {
  const auto known = all_kinds();
  return std::ranges::find(known, name) != known.end() ? "" : "there is no kind \"" + name + "\"";
}

}  // namespace

Options Options::parse(int argc, char** argv) {
  Options o;
  std::vector<std::string> only, without;
  retinue_command_line::CommandLine line("chaos", "Tries a process pool with random tasks, under random faults.");
  const auto number = [&](const char* name, auto& value, const char* text) {
    return line.add_option(name, value, text)->check(retinue_command_line::whole_number)->option_text("N");
  };
  const auto kinds = [&](const char* name, std::vector<std::string>& value, const char* text) {
    line.add_option(name, value, text)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->check(known_kind)
        ->option_text("K[,K...]");
  };
  number("--seconds", o.seconds, "for so many seconds (20)");
  number("--tasks", o.tasks, "until so many tasks have ended, instead of for a time ...");
  number("--kills", o.kills, "... and so many workers were killed from outside, about evenly spread over the tasks");
  CLI::Option* seed = number(
      "--seed", o.seed, "the plan of tasks and faults is that of this seed; otherwise RETINUE_TEST_SEED, or a new one");
  number("--round", o.round, "this round of the plan alone: what a failure asks to be repeated");
  number("--repeat", o.repeat, "runs it so often, or until it fails");
  number("--round-tasks", o.measure.tasks, "about so many tasks in a round (600)");
  kinds("--only", only, "no kinds of tasks and faults but these");
  kinds("--without", without, "leaves these kinds out");
  line.add_flag("--plan", o.plan_only, "says what would be done, and does not do it");
  number("--patience", o.patience,
         "a hang is reported when nothing has moved for so many seconds (30, times RETINUE_TEST_TIME_FACTOR)");
  line.add_flag("--wait", o.waits, "a hang is kept for a debugger");
  line.add_flag("--quiet", o.quiet, "no line for the progress");
  line.footer(footer());
  line.callback([&] {
    const char* given = std::getenv("RETINUE_TEST_SEED");
    if (seed->empty() && given != nullptr) {
      if (const std::string why = retinue_command_line::whole_number(given); !why.empty())
        throw CLI::ValidationError("RETINUE_TEST_SEED", why);
      o.seed = std::strtoull(given, nullptr, 0);
    } else if (seed->empty()) {
      o.seed = std::random_device{}();
    }
    if (o.kills != 0 && o.tasks == 0)
      throw CLI::ValidationError("--kills wants --tasks, over which they are spread", CLI::ExitCodes::ValidationError);
  });
  if (const auto status = line.parse_or_end(argc, argv)) std::exit(*status);

  o.measure.tasks = std::clamp<std::uint64_t>(o.measure.tasks, 1, 16'000);
  if (!only.empty())
    for (const std::string_view kind : all_kinds())
      if (std::ranges::find(only, kind) == only.end()) o.measure.without.insert(std::string(kind));
  o.measure.without.insert(without.begin(), without.end());
  if (const char* factor = std::getenv("RETINUE_TEST_TIME_FACTOR"))
    o.patience *= static_cast<unsigned>(std::clamp(std::atoi(factor), 1, 100));
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
