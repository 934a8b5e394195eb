// What every test that starts processes demands: it ends by itself, and leaves nothing behind.
//
// Including this header is enough: before each test it counts processes, zombies, descriptors, threads and
// shared mappings, after it they must be as few; a test that does not end is named on stderr and aborted
// (RETINUE_TEST_HANG=wait keeps it for a debugger instead).
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <exception>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <map>
#include <poll.h>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#include <retinue/process_pool.hpp>

namespace retinue_test {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

#if defined(__SANITIZE_THREAD__)
constexpr int kSlowdown = 10;  ///< how much less a test does under a sanitizer
constexpr int kPatience = 5;   ///< how much longer it may take
#elif defined(__SANITIZE_ADDRESS__)
constexpr int kSlowdown = 4;
constexpr int kPatience = 3;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
constexpr int kSlowdown = 10;
constexpr int kPatience = 5;
#else
constexpr int kSlowdown = 1;
constexpr int kPatience = 1;
#endif
#else
constexpr int kSlowdown = 1;
constexpr int kPatience = 1;
#endif

/// As long as anything may take that is expected at once; for waits, never for a measurement.
constexpr std::chrono::seconds kSoon{10 * kPatience};

inline void nap(std::chrono::microseconds time = 200us) {
  timespec t{time.count() / 1'000'000, static_cast<long>(time.count() % 1'000'000) * 1000};
  ::nanosleep(&t, nullptr);
}

/// Polls `condition` until it holds; false if it does not within the time.
template <class F>
bool eventually(F&& condition, std::chrono::milliseconds within = kSoon) {
  const auto deadline = Clock::now() + within;
  while (!condition()) {
    if (Clock::now() > deadline) return false;
    nap(500us);
  }
  return true;
}

/// Memory that the test, its workers and its children all see; cleared before each test.
struct Board {
  std::atomic<int> counters[64];
  std::atomic<int> gate;
  std::atomic<int> at_gate;
  std::atomic<std::uint8_t> runs[1 << 20];  ///< how often a task of this number ran

  /// For tasks: waits until the test opens the gate.
  void pass_gate() {
    at_gate.fetch_add(1);
    while (gate.load() == 0) nap();
  }
  void clear() {
    for (auto& c : counters) c.store(0);
    gate.store(0);
    at_gate.store(0);
    std::memset(static_cast<void*>(runs), 0, sizeof runs);
  }
};

inline Board& board() {
  static Board* const all = [] {
    void* p = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    return static_cast<Board*>(p);
  }();
  return *all;
}

inline std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(folder.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = ::readdir(dir))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  ::closedir(dir);
  return names;
}

struct ProcessInfo {
  pid_t pid = 0, parent = 0;
  char state = '?';
  std::string name;
};

/// What /proc says of a process; pid 0 if it is gone.
inline ProcessInfo process_info(pid_t pid) {
  const std::string stat = text_of("/proc/" + std::to_string(pid) + "/stat");
  const auto open = stat.find('('), close = stat.rfind(')');
  ProcessInfo info;
  if (open == std::string::npos || close == std::string::npos) return info;
  info.pid = pid;
  info.name = stat.substr(open + 1, close - open - 1);
  std::istringstream rest(stat.substr(close + 2));
  rest >> info.state >> info.parent;
  return info;
}

/// True once the process runs no more (it may still be a zombie that its parent has not waited for).
inline bool is_gone(pid_t pid) {
  const ProcessInfo info = process_info(pid);
  return info.pid == 0 || info.state == 'Z' || info.state == 'X';
}

/// All living descendants of `root`, zombies among them.
inline std::map<pid_t, ProcessInfo> descendants_of(pid_t root) {
  std::map<pid_t, ProcessInfo> all, found;
  for (const std::string& name : names_in("/proc"))
    if (name[0] >= '0' && name[0] <= '9')
      if (const ProcessInfo info = process_info(std::stoi(name)); info.pid != 0) all[info.pid] = info;
  for (bool more = true; more;) {
    more = false;
    for (const auto& [pid, info] : all)
      if (found.count(pid) == 0 && (info.parent == root || found.count(info.parent) != 0)) {
        found[pid] = info;
        more = true;
      }
  }
  return found;
}

/// The fork servers of this process's pools.
inline std::vector<pid_t> fork_servers_of(pid_t owner) {
  std::vector<pid_t> servers;
  for (const auto& [pid, info] : descendants_of(owner))
    if (info.parent == owner && info.name == "retinue-server" && info.state != 'Z') servers.push_back(pid);
  return servers;
}

inline std::string inode_of_region(const std::string& maps) {
  std::istringstream lines(maps);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("memfd:retinue") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string range, flags, offset, device, inode;
    fields >> range >> flags >> offset >> device >> inode;
    return inode;
  }
  return "";
}

/// Processes of any parent that map this process's region: what an orphan of a pool is known by.
inline std::set<pid_t> holders_of_region() {
  std::set<pid_t> pids;
  const std::string inode = inode_of_region(text_of("/proc/self/maps"));
  if (inode.empty()) return pids;
  for (const std::string& name : names_in("/proc")) {
    if (name[0] < '0' || name[0] > '9' || name == std::to_string(::getpid())) continue;
    const ProcessInfo info = process_info(std::stoi(name));
    if (info.name.rfind("retinue-", 0) != 0) continue;
    if (text_of("/proc/" + name + "/maps").find(" " + inode + " ") != std::string::npos) pids.insert(info.pid);
  }
  return pids;
}

/// What a process holds that could leak.
struct Holdings {
  std::map<pid_t, ProcessInfo> processes;
  std::set<pid_t> holders;
  std::multiset<std::string> descriptors;
  std::set<std::string> symbol_files;
  std::multiset<std::string> shared_mappings;
  std::set<std::string> shm_entries;
  std::size_t threads = 0;

  static Holdings of_this_process() {
    Holdings h;
    h.processes = descendants_of(::getpid());
    h.holders = holders_of_region();
    char program[512] = {};
    (void)!::readlink("/proc/self/exe", program, sizeof program - 1);
    for (const std::string& fd : names_in("/proc/self/fd")) {
      char target[512] = {};
      if (::readlink(("/proc/self/fd/" + fd).c_str(), target, sizeof target - 1) <= 0) continue;
      // Tables of symbols, once read for the stack of a crash, are kept with their files: one each.
      const std::string_view name(target);
      const bool symbols = name.find(".so") != name.npos || name.ends_with(".debug") || name == program;
      if (!symbols || h.symbol_files.insert(target).second == false) h.descriptors.insert(target);
    }
    std::istringstream maps(text_of("/proc/self/maps"));
    for (std::string line; std::getline(maps, line);) {
      std::istringstream fields(line);
      std::string range, flags, offset, device, inode, name;
      fields >> range >> flags >> offset >> device >> inode >> name;
      if (flags.size() == 4 && flags[3] == 's') h.shared_mappings.insert(name + " " + inode);
    }
    for (const std::string& name : names_in("/dev/shm"))
      if (name.find("retinue") != std::string::npos) h.shm_entries.insert(name);
    h.threads = names_in("/proc/self/task").size();
    return h;
  }

  /// What is here and was not `before`, in words; empty if nothing is.
  std::string beyond(const Holdings& before) const {
    std::ostringstream text;
    for (const auto& [pid, info] : processes)
      if (before.processes.count(pid) == 0)
        text << "process " << pid << " (" << info.name << ", state " << info.state << "); ";
    for (const pid_t pid : holders)
      if (before.holders.count(pid) == 0 && processes.count(pid) == 0) text << "orphan " << pid << "; ";
    std::multiset<std::string> more = descriptors;
    for (const std::string& d : before.descriptors)
      if (const auto it = more.find(d); it != more.end()) more.erase(it);
    if (descriptors.size() > before.descriptors.size())
      for (const std::string& d : more) text << "descriptor " << d << "; ";
    more = shared_mappings;
    for (const std::string& m : before.shared_mappings)
      if (const auto it = more.find(m); it != more.end()) more.erase(it);
    for (const std::string& m : more) text << "mapping " << m << "; ";
    for (const std::string& name : shm_entries)
      if (before.shm_entries.count(name) == 0) text << "/dev/shm/" << name << "; ";
    if (threads > before.threads) text << threads - before.threads << " threads; ";
    return text.str();
  }
};

/// Sees to it that each test ends and leaves nothing.
class ProcessWatch : public ::testing::EmptyTestEventListener {
 public:
  void OnTestStart(const ::testing::TestInfo& test) override {
    std::snprintf(running(), kNameBytes, "%s.%s", test.test_suite_name(), test.name());
    board().clear();
    struct sigaction action {};
    action.sa_handler = [](int) { report_hang(); };
    ::sigaction(SIGALRM, &action, nullptr);
    ::alarm(50 * kPatience);
    before_ = Holdings::of_this_process();
  }

  void OnTestEnd(const ::testing::TestInfo&) override {
    board().gate.store(1);
    std::string left;
    eventually(
        [&] {
          left = Holdings::of_this_process().beyond(before_);
          return left.empty();
        },
        5s * kPatience);
    ::alarm(0);
    EXPECT_EQ(left, "") << "is left behind by this test";
    // What this test left is not the next one's to answer for.
    for (const auto& [pid, info] : descendants_of(::getpid()))
      if (before_.processes.count(pid) == 0) ::kill(pid, SIGKILL);
  }

 private:
  static constexpr std::size_t kNameBytes = 256;
  static char* running() {
    static char name[kNameBytes];
    return name;
  }
  static void report_hang() {
    const auto say = [](const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); };
    say("\nTHIS TEST HANGS: ");
    say(running());
    say("\n");
    const char* const wait = std::getenv("RETINUE_TEST_HANG");
    while (wait != nullptr && std::strcmp(wait, "wait") == 0) ::pause();
    ::signal(SIGABRT, SIG_DFL);
    std::abort();
  }

  Holdings before_;
};

/// What a process makes once and keeps (its region, its doorbell, tables of symbols) is made before the first test.
class FirstPool : public ::testing::Environment {
 public:
  void SetUp() override {
    if (const char* name = std::getenv("RETINUE_TEST_BODY")) run_alone(name);
    board();
    retinue::ProcessPool pool(1);
    pool.submit([] { return 0; }).wait();
  }

  /// Scenarios for a process that has never had a pool, by name; see alone().
  static std::map<std::string, std::function<int()>>& bodies() {
    static std::map<std::string, std::function<int()>> all;
    return all;
  }

 private:
  [[noreturn]] static void run_alone(const char* name) {
    int code = 97;
    try {
      ::alarm(40 * kPatience);
      code = bodies().at(name)();
    } catch (const std::exception& e) {
      std::printf("in a process of its own: %s\n", e.what());
    }
    std::fflush(stdout);
    ::_exit(code);
  }
};

inline const bool watching = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new ProcessWatch);
  ::testing::AddGlobalTestEnvironment(new FirstPool);
  return true;
}();

/// How a scenario in a process of its own went.
struct ChildEnd {
  int status = -1;     ///< as waitpid says
  bool ended = false;  ///< before its time was up
  bool alone = false;  ///< all of its descendants went with it, or soon after
  std::string output;  ///< its stdout and that of its descendants
  std::chrono::milliseconds lingered{0};  ///< how long its descendants outlived it

  bool exited_with(int code) const { return ended && WIFEXITED(status) && WEXITSTATUS(status) == code; }
  bool died_of(int signal) const { return ended && WIFSIGNALED(status) && WTERMSIG(status) == signal; }
};

inline std::ostream& operator<<(std::ostream& out, const ChildEnd& end) {
  out << (end.ended ? "" : "HUNG ");
  if (WIFEXITED(end.status)) out << "exit code " << WEXITSTATUS(end.status);
  if (WIFSIGNALED(end.status)) out << "signal " << WTERMSIG(end.status);
  return out << (end.alone ? "" : ", descendants left") << ", output: " << end.output;
}

/// A process forked for one scenario, so that it may be killed, limited, or looked at from outside. Only to be
/// made while this process has no pool.
class Child {
 public:
  /// `body`'s value becomes the exit code; an exception that leaves it becomes code 99.
  explicit Child(const std::function<int()>& body) {
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
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (!reaped_) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(life_);
    ::close(out_);
  }

  pid_t pid() const { return pid_; }

  ChildEnd end(std::chrono::milliseconds within = std::chrono::milliseconds(25'000 * kPatience)) {
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
    const auto death = Clock::now();
    result.alone = eventually(
        [&] {
          read_output(result.output);
          pollfd fd{life_, POLLIN, 0};
          return ::poll(&fd, 1, 0) > 0;  // the last process that held the other end is gone
        },
        kSoon);
    result.lingered = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - death);
    read_output(result.output);
    return result;
  }

 private:
  void read_output(std::string& into) const {
    char bytes[4096];
    for (ssize_t n; (n = ::read(out_, bytes, sizeof bytes)) > 0;) into.append(bytes, static_cast<std::size_t>(n));
  }

  pid_t pid_ = -1;
  int life_ = -1, out_ = -1;
  bool reaped_ = false;
};

inline ChildEnd in_child(const std::function<int()>& body) { return Child(body).end(); }

/// Runs a scenario of FirstPool::bodies() in a process that starts anew, without the region of this one.
inline ChildEnd alone(const char* name) {
  return in_child([name] {
    ::setenv("RETINUE_TEST_BODY", name, 1);
    ::execl("/proc/self/exe", "alone", "--gtest_brief=1", static_cast<char*>(nullptr));
    return 96;
  });
}

/// For the body of a Child, where a failed EXPECT would be seen by nobody.
inline void demand(bool holds, const char* what, int line) {
  if (holds) return;
  std::printf("line %d: not true: %s\n", line, what);
  std::fflush(stdout);
  ::_exit(98);
}
#define DEMAND(condition) ::retinue_test::demand(static_cast<bool>(condition), #condition, __LINE__)

/// The exception of type E that `f` throws; a failure of the test (and a null pointer) if it throws none or another.
template <class E, class F>
std::unique_ptr<E> thrown_by(F&& f) {
  try {
    f();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& e) {
    return std::make_unique<E>(e);
  } catch (const std::exception& e) {
    ADD_FAILURE() << "another exception was thrown: " << e.what();
  }
  return nullptr;
}

}  // namespace retinue_test
