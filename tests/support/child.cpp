#include "child.hpp"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fcntl.h>
#include <ostream>
#include <poll.h>
#include <unistd.h>

#include "own_time.hpp"
#include "processes.hpp"

namespace retinue_test {

std::ostream& operator<<(std::ostream& out, const ChildEnd& end) {
  out << (end.ended ? "" : "HUNG ");
  if (WIFEXITED(end.status)) out << "exit code " << WEXITSTATUS(end.status);
  if (WIFSIGNALED(end.status)) out << "signal " << WTERMSIG(end.status);
  return out << (end.alone ? "" : ", descendants left") << ", output: " << end.output;
}

Child::Child(const std::function<int()>& body) {
  int life[2], out[2];
  if (::pipe(life) != 0 || ::pipe(out) != 0) std::abort();
  std::fflush(nullptr);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::close(life[0]);
    ::close(out[0]);
    ::dup2(out[1], STDOUT_FILENO);
    ::close(out[1]);
    int code = 99;
    try {
      code = body();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "in a child: %s\n", e.what());
    }
    std::fflush(stdout);
    ::_exit(code);
  }
  ::close(life[1]);
  ::close(out[1]);
  life_ = life[0];
  out_ = out[0];
  ::fcntl(out_, F_SETFL, O_NONBLOCK);
}

Child::~Child() {
  if (!reaped_) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  ::close(life_);
  ::close(out_);
}

ChildEnd Child::end(std::chrono::milliseconds within) {
  ChildEnd result;
  result.ended = eventually(
      [&] {
        read_output(result.output);
        return ::waitpid(pid_, &result.status, WNOHANG) == pid_;
      },
      within);
  if (!result.ended) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &result.status, 0);
  }
  reaped_ = true;
  OwnTime since_its_death;
  result.alone = eventually(
      [&] {
        read_output(result.output);
        pollfd fd{life_, POLLIN, 0};
        if (::poll(&fd, 1, 0) > 0) return true;  // the last process that held the other end is gone
        since_its_death.look_at(holders_of_region());
        return false;
      },
      kSoon);
  result.lingered = since_its_death.passed();
  read_output(result.output);
  return result;
}

void Child::read_output(std::string& into) const {
  char bytes[4096];
  for (ssize_t n; (n = ::read(out_, bytes, sizeof bytes)) > 0;) into.append(bytes, static_cast<std::size_t>(n));
}

ChildEnd in_child(const std::function<int()>& body) { return Child(body).end(); }

std::map<std::string, std::function<int()>>& bodies_of_their_own() {
  static std::map<std::string, std::function<int()>> all;
  return all;
}

ChildEnd alone(const char* name) {
  return in_child([name] {
    ::setenv("RETINUE_TEST_BODY", name, 1);
    ::execl("/proc/self/exe", "alone", "--gtest_brief=1", static_cast<char*>(nullptr));
    return 96;
  });
}

void run_if_alone() {
  const char* const name = std::getenv("RETINUE_TEST_BODY");
  if (name == nullptr) return;
  int code = 97;
  try {
    ::alarm(40 * kPatience);
    code = bodies_of_their_own().at(name)();
  } catch (const std::exception& e) {
    std::printf("in a process of its own: %s\n", e.what());
  }
  std::fflush(stdout);
  ::_exit(code);
}

void demand(bool holds, const char* what, int line) {
  if (holds) return;
  std::printf("line %d: not true: %s\n", line, what);
  std::fflush(stdout);
  ::_exit(98);
}

}  // namespace retinue_test
