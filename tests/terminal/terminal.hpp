// A real terminal for a program under test: what is typed here becomes signals in the kernel, as at a desk.
#pragma once

#include "support/own_time.hpp"
#include "support/process_watch.hpp"

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <termios.h>

namespace retinue_test {

constexpr char kCtrlC = '\x03', kCtrlBackslash = '\x1c', kCtrlZ = '\x1a';

/// How many times slower than usual to expect things: the build's factor, or what the environment says.
inline int patience() {
  const char* const factor = std::getenv("RETINUE_TEST_TIME_FACTOR");
  return std::max(kPatience, factor != nullptr ? std::atoi(factor) : 1);
}
/// What is promised for the processes of a pool when their owner has ended, and they find a CPU.
inline std::chrono::milliseconds a_second() { return 1000ms * patience(); }

/// Orphans of whatever is started here become children of this process, so that none gets out of sight.
inline void adopt_orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

/// How a program in a terminal went.
struct TerminalEnd {
  int status = -1;
  bool ended = false;  ///< before its time was up
  std::string left;    ///< processes and files that outlived it by more than a second
  std::string shown;   ///< all that the terminal has shown
  bool settings_kept = true;

  bool exited_with(int code) const { return ended && WIFEXITED(status) && WEXITSTATUS(status) == code; }
  bool died_of(int signal) const { return ended && WIFSIGNALED(status) && WTERMSIG(status) == signal; }
  bool clean() const { return ended && left.empty() && settings_kept; }
};

inline std::ostream& operator<<(std::ostream& out, const TerminalEnd& end) {
  out << (end.ended ? "" : "HUNG ");
  if (WIFEXITED(end.status)) out << "exit code " << WEXITSTATUS(end.status);
  if (WIFSIGNALED(end.status)) out << "signal " << WTERMSIG(end.status);
  if (!end.left.empty()) out << "; left: " << end.left;
  if (!end.settings_kept) out << "; the terminal's settings have changed";
  return out << "; shown: " << ::testing::PrintToString(end.shown);
}

/// A pseudo-terminal with a program in the foreground, in an empty folder of its own. The program is a job: its
/// parent leads the session and waits for it, as a shell does.
class Terminal {
 public:
  using Words = std::vector<std::string>;

  /// `leads`: the program leads the session itself, as one that ssh starts, or a shell.
  explicit Terminal(const Words& program, bool leads = false) {
    adopt_orphans();
    char folder[] = "/tmp/retinue-terminal-XXXXXX";
    if (::mkdtemp(folder) == nullptr) std::abort();
    folder_ = folder;
    const winsize size{.ws_row = 25, .ws_col = 132, .ws_xpixel = 0, .ws_ypixel = 0};
    int tty = -1, to_test[2];
    if (::openpty(&screen_, &tty, nullptr, nullptr, &size) != 0 || ::pipe2(to_test, O_CLOEXEC) != 0) std::abort();
    ::fcntl(screen_, F_SETFD, FD_CLOEXEC);
    ::fcntl(tty, F_SETFD, FD_CLOEXEC);
    ::tcgetattr(screen_, &settings_);
    std::vector<char*> words;
    for (const std::string& word : program) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    std::fflush(nullptr);
    leader_ = ::fork();
    if (leader_ == 0) {
      ::close(screen_);  // or it would never hang up
      if (::setsid() < 0 || ::ioctl(tty, TIOCSCTTY, 0) != 0 || ::chdir(folder) != 0) ::_exit(120);
      for (const int fd : {0, 1, 2}) ::dup2(tty, fd);
      const rlimit no_core{0, 0};
      ::setrlimit(RLIMIT_CORE, &no_core);
      if (leads) run(words);
      lead(words, to_test[1]);
    }
    ::close(tty);
    ::close(to_test[1]);
    from_leader_ = to_test[0];
    ::fcntl(screen_, F_SETFL, O_NONBLOCK);
    if (leads || ::read(from_leader_, &program_, sizeof program_) != static_cast<ssize_t>(sizeof program_))
      program_ = leader_;
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  ~Terminal() {
    for (int round = 0; round < 1000; ++round) {
      if (collect(); descendants_of(::getpid()).empty()) break;
      for (const auto& [pid, info] : descendants_of(::getpid())) ::kill(pid, SIGKILL);
      nap(1ms);
    }
    hang_up();
    ::close(from_leader_);
    std::filesystem::remove_all(folder_);
  }

  /// The program (of a shell's job, its first process), which is also the number of its group.
  pid_t program() const { return program_; }
  /// The group that gets what is typed. (Reads what is shown, as all that is waited with does: a full terminal stops.)
  pid_t foreground() {
    collect();
    return ::tcgetpgrp(screen_);
  }
  const std::string& folder() const { return folder_; }
  const std::string& shown() const { return shown_; }

  /// True once the terminal shows `text`, beyond what earlier calls have found.
  bool shows(const std::string& text) {
    return in_own_time([&] {
      collect();
      const auto at = shown_.find(text, seen_);
      if (at != std::string::npos) seen_ = at + text.size();
      return at != std::string::npos;
    });
  }

  void type(char key) { (void)!::write(screen_, &key, 1); }
  void type(const std::string& keys) { (void)!::write(screen_, keys.data(), keys.size()); }

  /// Closes the terminal, as a lost connection does.
  void hang_up() {
    if (screen_ >= 0) ::close(screen_);
    screen_ = -1;
  }

  /// Every process of the program that now lives.
  std::map<pid_t, ProcessInfo> processes() {
    auto all = descendants_of(::getpid());
    if (leader_ != program_) all.erase(leader_);
    return all;
  }

  /// True once all processes of the program are in that state of /proc, such as 'T'.
  bool all_are(bool (*wanted)(char state)) {
    return in_own_time([&] {
      collect();
      for (const auto& [pid, info] : processes())
        if (!wanted(info.state)) return false;
      return true;
    });
  }

  /// Names, numbers and states of all.
  std::string states() {
    std::string all;
    for (const auto& [pid, info] : processes())
      all += info.name + " (" + std::to_string(pid) + ", state " + info.state + ") ";
    return all;
  }

  /// Waits for the program's end, and then demands that all of its processes go within a second.
  TerminalEnd end(std::chrono::milliseconds within = kSoon) {
    TerminalEnd end;
    end.ended = in_own_time([&] { return collect(), statuses_.count(program_) != 0; }, within);
    if (!end.ended) {
      end.left = states();
      end.shown = shown_;
      return end;
    }
    end.status = statuses_[program_];
    if (!OwnTime::suffices(a_second(), [&] { return pids(); }, [&] { return collect(), processes().empty(); }))
      end.left = states();
    for (const auto& file : std::filesystem::directory_iterator(folder_))
      end.left += file.path().filename().string() + " ";
    for (const std::string& name : names_in("/dev/shm"))
      if (name.find("retinue") != std::string::npos) end.left += "/dev/shm/" + name + " ";
    termios now{};
    if (screen_ >= 0 && ::tcgetattr(screen_, &now) == 0)
      end.settings_kept = now.c_iflag == settings_.c_iflag && now.c_oflag == settings_.c_oflag &&
                          now.c_lflag == settings_.c_lflag && now.c_cflag == settings_.c_cflag &&
                          std::memcmp(now.c_cc, settings_.c_cc, sizeof now.c_cc) == 0;
    end.shown = shown_;
    return end;
  }

 private:
  [[noreturn]] static void run(const std::vector<char*>& words) {
    ::execvp(words[0], words.data());
    ::_exit(127);
  }

  // What a shell does with a job. Stays to the end of the test, or until the terminal hangs up.
  [[noreturn]] static void lead(const std::vector<char*>& words, int to_test) {
    ::signal(SIGTTOU, SIG_IGN);
    int go[2];
    if (::pipe(go) != 0) ::_exit(120);
    const pid_t job = ::fork();
    if (job == 0) {
      char byte;
      ::setpgid(0, 0);
      (void)!::read(go[0], &byte, 1);  // until it is in the foreground
      ::close(go[0]);
      ::close(go[1]);
      ::signal(SIGTTOU, SIG_DFL);
      run(words);
    }
    ::setpgid(job, job);
    ::tcsetpgrp(0, job);
    (void)!::write(go[1], "", 1);
    (void)!::write(to_test, &job, sizeof job);
    int status = 0;
    if (::waitpid(job, &status, 0) == job) (void)!::write(to_test, &status, sizeof status);
    for (;;) ::pause();
  }

  std::set<pid_t> pids() {
    std::set<pid_t> all;
    for (const auto& [pid, info] : processes()) all.insert(pid);
    return all;
  }

  // Polls until it holds. What the processes wait for a CPU does not count, up to thrice the time: a storm of signals needs a
  // second of CPU time, for which a busy machine may take more than ten.
  template <class F>
  bool in_own_time(F&& holds, std::chrono::milliseconds within = kSoon) {
    OwnTime own;
    bool held = false;
    auto next_look = Clock::now();
    eventually(
        [&] {
          held = holds();
          if (const auto now = Clock::now(); !held && now >= next_look) {
            own.look_at(pids());
            next_look = now + 20ms;
          }
          return held || own.passed() > within;
        },
        3 * within);
    return held;
  }

  // Reads what is shown, and waits for who has ended.
  void collect() {
    char bytes[4096];
    for (ssize_t n; screen_ >= 0 && (n = ::read(screen_, bytes, sizeof bytes)) > 0;)
      shown_.append(bytes, static_cast<std::size_t>(n));
    if (pollfd fd{from_leader_, POLLIN, 0}; from_leader_ >= 0 && ::poll(&fd, 1, 0) > 0) {
      int status = 0;
      if (::read(from_leader_, &status, sizeof status) == static_cast<ssize_t>(sizeof status))
        statuses_[program_] = status;
    }
    int status = 0;
    for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) statuses_.emplace(pid, status);
  }

  std::string folder_, shown_;
  std::size_t seen_ = 0;
  int screen_ = -1, from_leader_ = -1;
  pid_t leader_ = 0, program_ = 0;
  termios settings_{};
  std::map<pid_t, int> statuses_;
};

}  // namespace retinue_test
