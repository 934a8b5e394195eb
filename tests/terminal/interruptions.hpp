// The program that is interrupted here, and what interrupts it.
#pragma once

#include "support/build_places.hpp"
#include "terminal.hpp"

namespace retinue_test {

inline Terminal::Words program(const std::string& phase, const std::string& option = "") {
  Terminal::Words words{built_program("terminal_program"), phase};
  if (!option.empty()) words.push_back(option);
  return words;
}

/// What ends a program at a terminal, and the signal that its owner dies of.
struct Interruption {
  const char* name;
  int signal;
  void (*apply)(Terminal&);
};

inline const Interruption kCtrlCTyped{"Ctrl-C", SIGINT, [](Terminal& t) { t.type(kCtrlC); }};
inline const Interruption kHangUp{"hang-up", SIGHUP, [](Terminal& t) { t.hang_up(); }};
inline const Interruption kKilled{"SIGKILL", SIGKILL, [](Terminal& t) { ::kill(t.program(), SIGKILL); }};
inline const std::vector<Interruption> kInterruptions{
    kCtrlCTyped, {"Ctrl-\\", SIGQUIT, [](Terminal& t) { t.type(kCtrlBackslash); }},
    kHangUp,     {"SIGTERM", SIGTERM, [](Terminal& t) { ::kill(t.program(), SIGTERM); }},
    kKilled,     {"SIGKILL to all", SIGKILL, [](Terminal& t) { ::kill(-t.program(), SIGKILL); }},
};

}  // namespace retinue_test
