// Jobs of a shell: stopped and continued, in the background, in a pipe, beyond the terminal's end.
#include "interruptions.hpp"

namespace job_control_test {

using namespace retinue_test;

// Or has ended, and its parent was stopped before it could take note of that.
bool is_stopped(char state) { return state == 'T' || state == 'Z'; }
bool is_not_stopped(char state) { return state != 'T'; }

class AJob : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Phases, AJob,
                         ::testing::Values("idle", "map", "submit", "get", "shutdown", "exit", "nested", "lives"),
                         [](const auto& it) { return std::string(it.param); });

TEST_P(AJob, that_was_stopped_and_continued_can_be_interrupted) {
  Terminal terminal(program(GetParam()));
  ASSERT_TRUE(terminal.shows("reached")) << terminal.shown();
  terminal.type(kCtrlZ);
  EXPECT_TRUE(terminal.all_are(is_stopped)) << terminal.states();
  ::kill(-terminal.program(), SIGCONT);
  EXPECT_TRUE(terminal.all_are(is_not_stopped)) << terminal.states();
  terminal.type(kCtrlC);
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.died_of(SIGINT)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

TEST_P(AJob, that_is_stopped_and_whose_owner_is_killed_leaves_nothing) {
  Terminal terminal(program(GetParam()));
  ASSERT_TRUE(terminal.shows("reached")) << terminal.shown();
  terminal.type(kCtrlZ);
  EXPECT_TRUE(terminal.all_are(is_stopped)) << terminal.states();
  ::kill(terminal.program(), SIGKILL);  // the owner alone: its workers are stopped
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.died_of(SIGKILL)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

TEST(Job, that_was_stopped_works_on_and_loses_no_task) {
  Terminal terminal(program("go_on"));
  ASSERT_TRUE(terminal.shows("reached go_on\r\n")) << terminal.shown();
  for (int i = 0; i < 5; ++i) {
    terminal.type(kCtrlZ);
    EXPECT_TRUE(terminal.all_are(is_stopped)) << terminal.states();
    ::kill(-terminal.program(), SIGCONT);
    EXPECT_TRUE(terminal.all_are(is_not_stopped)) << terminal.states();
    terminal.type(kCtrlC);
    ASSERT_TRUE(terminal.shows("caught\r\n")) << terminal.shown();
  }
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

TEST(Job, that_is_stopped_ends_with_its_terminal) {
  Terminal terminal(program("get"));
  ASSERT_TRUE(terminal.shows("reached get\r\n")) << terminal.shown();
  terminal.type(kCtrlZ);
  EXPECT_TRUE(terminal.all_are(is_stopped)) << terminal.states();
  terminal.hang_up();
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.died_of(SIGHUP)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

TEST(Job, of_a_shell_is_stopped_sent_to_the_background_fetched_back_and_interrupted) {
  ::setenv("PS1", "", 1);
  Terminal terminal({"sh", "-i"}, true);
  terminal.type(built_program("terminal_program") + " print\n");
  ASSERT_TRUE(terminal.shows("reached print\r\n")) << terminal.shown();
  const pid_t job = terminal.foreground();
  ASSERT_NE(job, terminal.program());
  terminal.type(kCtrlZ);
  ASSERT_TRUE(eventually([&] { return terminal.foreground() == terminal.program(); }));
  ASSERT_TRUE(terminal.shows("Stopped")) << terminal.shown();
  terminal.type("bg\n");
  ASSERT_TRUE(terminal.shows("of a worker\r\n")) << "it goes on in the background";
  terminal.type("fg\n");
  ASSERT_TRUE(eventually([&] { return terminal.foreground() == job; })) << terminal.shown();
  ASSERT_TRUE(terminal.shows("of a worker\r\n"));
  terminal.type(kCtrlC);
  terminal.type("\necho it gave $?; exit 7\n");
  ASSERT_TRUE(terminal.shows("it gave 130\r\n")) << terminal.shown();
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.exited_with(7)) << end.left;
  EXPECT_TRUE(end.clean()) << end.left;
}

TEST(Job, whose_reader_leaves_the_pipe_dies_of_it) {
  Terminal terminal({"sh", "-c", built_program("terminal_program") + " owner_prints | head -1"});
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.clean()) << end;
  EXPECT_EQ(end.shown, "0\r\n");
}

TEST(Job, in_the_background_of_a_script_ignores_ctrl_c_as_do_the_programs_of_its_tasks) {
  Terminal terminal({"sh", "-c", built_program("terminal_program") + " child & wait"});
  ASSERT_TRUE(terminal.shows("reached child\r\n")) << terminal.shown();
  terminal.type(kCtrlC);  // to all of them, for a script's background is in the same group
  ASSERT_TRUE(eventually([&] { return is_gone(terminal.program()); })) << "the script itself ends";
  nap(20ms);
  using Names = std::multiset<std::string>;
  const Names all{"terminal_progra", "retinue-server", "retinue-worker", "retinue-worker", "sleep"};
  Names left;
  eventually([&] {  // the second worker may only now come to its name
    left.clear();
    for (const auto& [pid, info] : terminal.processes())
      if (pid != terminal.program()) left.insert(info.name);
    return left == all;
  });
  EXPECT_EQ(left, all) << terminal.shown();
  terminal.hang_up();  // is not ignored
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.died_of(SIGINT)) << end;
  EXPECT_TRUE(end.clean()) << end;
}

TEST(Job, under_nohup_finishes_its_work_when_the_terminal_is_gone) {
  Terminal terminal({"sh", "-c", "exec nohup " + built_program("terminal_program") + " finish >out 2>&1"});
  const std::string out = terminal.folder() + "/out";
  ASSERT_TRUE(eventually([&] { return text_of(out).find("reached finish\n") != std::string::npos; }));
  EXPECT_EQ(text_of(out).find("reached end"), std::string::npos) << "the terminal goes while it works";
  terminal.hang_up();
  const TerminalEnd end = terminal.end();
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_EQ(text_of(out).substr(text_of(out).size() - 12), "reached end\n");
  EXPECT_EQ(end.left, "out ");
}

}  // namespace job_control_test
