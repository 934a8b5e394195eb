// Keys typed into a terminal, its loss, and signals from outside, in every phase of a program with pools.
#include "interruptions.hpp"

namespace terminal_test {

using namespace retinue_test;

class AtATerminal : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string phase = GetParam();
};

std::string name_of(const ::testing::TestParamInfo<const char*>& info) { return info.param; }

INSTANTIATE_TEST_SUITE_P(Phases, AtATerminal,
                         ::testing::Values("idle", "map", "submit", "get", "shutdown", "exit", "threads", "nested",
                                           "lives"),
                         name_of);

TEST_P(AtATerminal, an_interrupted_program_dies_of_the_signal_and_leaves_nothing) {
  for (const Interruption& interruption : kInterruptions) {
    Terminal terminal(program(phase));
    ASSERT_TRUE(terminal.shows("reached " + phase + "\r\n")) << interruption.name << ": " << terminal.shown();
    interruption.apply(terminal);
    const TerminalEnd end = terminal.end();
    EXPECT_TRUE(end.died_of(interruption.signal)) << interruption.name << ": " << end;
    EXPECT_TRUE(end.clean()) << interruption.name << ": " << end;
    // Not a word but the terminal's own echo.
    const std::string echo = interruption.signal == SIGINT ? "^C" : interruption.signal == SIGQUIT ? "^\\" : "";
    EXPECT_EQ(end.shown, "reached " + phase + "\r\n" + echo) << interruption.name;
  }
}

TEST_P(AtATerminal, a_program_that_handles_the_signal_ends_in_its_own_way) {
  for (const char* option : {"handler", "late_handler"}) {
    if ((phase == "lives" || phase == "exit") && option != std::string("handler")) continue;
    for (const Interruption& interruption : kInterruptions) {
      if (interruption.signal == SIGKILL) continue;
      Terminal terminal(program(phase, option));
      ASSERT_TRUE(terminal.shows("reached " + phase + "\r\n")) << interruption.name << ": " << terminal.shown();
      interruption.apply(terminal);
      const TerminalEnd end = terminal.end();
      EXPECT_TRUE(end.exited_with(40)) << option << ", " << interruption.name << ": " << end;
      EXPECT_TRUE(end.clean()) << option << ", " << interruption.name << ": " << end;
    }
  }
}

TEST_P(AtATerminal, a_second_ctrl_c_at_once_does_no_harm) {
  for (const char* option : {"", "handler"}) {
    Terminal terminal(program(phase, option));
    ASSERT_TRUE(terminal.shows("reached " + phase + "\r\n")) << terminal.shown();
    terminal.type(kCtrlC);
    terminal.type(kCtrlC);
    const TerminalEnd end = terminal.end();
    if (*option != '\0') EXPECT_TRUE(end.exited_with(40)) << end;
    else EXPECT_TRUE(end.died_of(SIGINT)) << end;
    EXPECT_TRUE(end.clean()) << end;
  }
}

TEST_P(AtATerminal, a_program_that_leads_its_session_ends_just_so) {
  for (const Interruption& interruption : {kCtrlCTyped, kHangUp, kKilled}) {
    Terminal terminal(program(phase), true);
    ASSERT_TRUE(terminal.shows("reached " + phase + "\r\n")) << interruption.name << ": " << terminal.shown();
    interruption.apply(terminal);
    const TerminalEnd end = terminal.end();
    EXPECT_TRUE(end.died_of(interruption.signal)) << interruption.name << ": " << end;
    EXPECT_TRUE(end.clean()) << interruption.name << ": " << end;
  }
}

TEST(Terminal, workers_that_print_are_cut_short_without_a_word_of_their_own) {
  for (const Interruption& interruption : kInterruptions) {
    Terminal terminal(program("print"));
    ASSERT_TRUE(terminal.shows("reached print\r\n")) << terminal.shown();
    interruption.apply(terminal);
    const TerminalEnd end = terminal.end();
    EXPECT_TRUE(end.died_of(interruption.signal)) << interruption.name;
    EXPECT_TRUE(end.clean()) << interruption.name << ": " << end.left;
    EXPECT_EQ(end.shown.find("terminate"), std::string::npos);
    EXPECT_EQ(end.shown.find("retinue"), std::string::npos);
  }
}

TEST(Terminal, a_program_that_decides_to_go_on_loses_no_task) {
  Terminal terminal(program("go_on"));
  ASSERT_TRUE(terminal.shows("reached go_on\r\n")) << terminal.shown();
  for (const char key : {kCtrlC, kCtrlBackslash, kCtrlC, kCtrlC}) {
    nap(5ms);
    terminal.type(key);
    ASSERT_TRUE(terminal.shows("caught\r\n")) << terminal.shown();
  }
  nap(5ms);
  terminal.hang_up();
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

TEST(Terminal, a_storm_of_signals_while_pools_start_reaches_the_owner_alone) {
  Terminal terminal(program("storm"));
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

// What tasks start -----------------------------------------------------------------------------------

TEST(Terminal, a_program_that_a_task_started_gets_ctrl_c_from_the_terminal_itself) {
  Terminal terminal(program("child"));
  ASSERT_TRUE(terminal.shows("reached child\r\n")) << terminal.shown();
  terminal.type(kCtrlC);
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.died_of(SIGINT)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

TEST(Terminal, and_dies_of_it_where_its_owner_goes_on) {
  Terminal terminal(program("child", "handler"));
  ASSERT_TRUE(terminal.shows("reached child\r\n")) << terminal.shown();
  for (const auto& [pid, info] : terminal.processes())
    if (info.name == "sleep") ::kill(pid, SIGINT);  // what the terminal would send it
  EXPECT_TRUE(terminal.shows("the program that the task started ended by signal 2\r\n")) << terminal.shown();
  terminal.type(kCtrlC);
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.exited_with(40)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

TEST(Terminal, when_only_the_owner_is_killed_a_program_that_a_task_started_lives_on) {
  Terminal terminal(program("child"));
  ASSERT_TRUE(terminal.shows("reached child\r\n")) << terminal.shown();
  ::kill(terminal.program(), SIGKILL);
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.died_of(SIGKILL)) << end;
  const auto left = terminal.processes();
  ASSERT_EQ(left.size(), 1u) << end;
  EXPECT_EQ(left.begin()->second.name, "sleep");
}

}  // namespace terminal_test
