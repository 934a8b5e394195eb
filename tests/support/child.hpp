// Scenarios in a process of their own.
#pragma once

#include <chrono>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <sys/types.h>
#include <sys/wait.h>

#include "patience.hpp"

namespace retinue_test {

/// How a scenario in a process of its own went.
struct ChildEnd {
  int status = -1;                        ///< as waitpid says
  bool ended = false;                     ///< before its time was up
  bool alone = false;                     ///< all of its descendants went with it, or soon after
  std::string output;                     ///< its stdout and that of its descendants
  std::chrono::milliseconds lingered{0};  ///< how long its descendants outlived it, without their waits for a CPU

  bool exited_with(int code) const { return ended && WIFEXITED(status) && WEXITSTATUS(status) == code; }
  bool died_of(int signal) const { return ended && WIFSIGNALED(status) && WTERMSIG(status) == signal; }
};

std::ostream& operator<<(std::ostream& out, const ChildEnd& end);

/// A process forked for one scenario, so that it may be killed, limited, or looked at from outside. Only to be
/// made while this process has no pool.
class Child {
 public:
  /// `body`'s value becomes the exit code; an exception that leaves it becomes code 99.
  explicit Child(const std::function<int()>& body);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  pid_t pid() const { return pid_; }
  /// Waits for its end, and kills it if that does not come in time; then for the end of its descendants.
  ChildEnd end(std::chrono::milliseconds within = std::chrono::milliseconds(25'000 * kPatience));

 private:
  void read_output(std::string& into) const;

  pid_t pid_ = -1;
  int life_ = -1, out_ = -1;
  bool reaped_ = false;
};

ChildEnd in_child(const std::function<int()>& body);

/// Scenarios for a process that has never had a pool, by name.
std::map<std::string, std::function<int()>>& bodies_of_their_own();
/// Runs one of them in a process that starts anew, without the region of this one.
ChildEnd alone(const char* name);
/// In such a process, before its tests begin: runs the body and leaves. Elsewhere it does nothing.
void run_if_alone();

/// For the body of a Child, where a failed EXPECT would be seen by nobody.
void demand(bool holds, const char* what, int line);
#define DEMAND(condition) ::retinue_test::demand(static_cast<bool>(condition), #condition, __LINE__)

}  // namespace retinue_test
