// The command line of a program of ours, for apps/ and for tests with options: CLI11 with this project's exit statuses.
// The library itself stands on nothing of this.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

namespace retinue_command_line {

/// A program's options, added as to any CLI::App. Of an option that is given twice the last counts.
///
///     CommandLine line("count", "Counts.");
///     line.add_option("--seed", seed, "what is random comes from it")->check(whole_number);
///     if (const auto status = line.parse_or_end(argc, argv)) return *status;
class CommandLine : public CLI::App {
 public:
  CommandLine(std::string name, std::string description) : CLI::App(std::move(description) + "\n", std::move(name)) {
    option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    get_formatter()->column_width(24);
    set_help_flag("-h,--help", "prints this and ends");
    failure_message([](const CLI::App* app, const CLI::Error& error) {
      return app->get_name() + ": " + error.what() + "; " + app->get_name() + " --help says what there is\n";
    });
  }

  /// Writes the options' values to where they belong. Empty if the program is to go on, else the exit status it is to end
  /// with: 0 after what was asked for (--help, --version) stands on stdout, 2 after a mistake is named on stderr.
  std::optional<int> parse_or_end(int argc, char** argv) {
    std::vector<std::string> words;  // the last first, as CLI11 wants them
    for (int i = argc - 1; i > 0; --i) {
      const std::string_view word = argv[i];
      // "[a,b]" would be a list of two; what we have lists of is files.
      words.push_back((word.starts_with('[') ? "./" : "") + std::string(word));
    }
    try {
      parse(std::move(words));
      return std::nullopt;
    } catch (const CLI::ParseError& error) {
      return exit(error) == 0 ? 0 : 2;
    }
  }
};

/// For Option::check: refuses what CLI11 would read as some other number: a sign before an unsigned one, and what needs
/// more than 64 bits.
inline std::string whole_number(const std::string& text) {
  char* end = nullptr;
  errno = 0;
  std::strtoull(text.c_str(), &end, 0);
  const bool right = !text.empty() && text.front() >= '0' && text.front() <= '9' && *end == '\0' && errno == 0;
  return right ? "" : "\"" + text + "\" is no number that it can take";
}

}  // namespace retinue_command_line
