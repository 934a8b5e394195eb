// A program for tests to interrupt: terminal_program PHASE [handler | late_handler | go_on].
//
// It says "reached PHASE" once it is there, and then stays there for ever. With a handler (set before the pool is
// made, or after) a signal ends the pool and the program leaves with code 40; with go_on it goes on working until it
// has seen five signals, finds its results right, and leaves with code 0.
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <fcntl.h>
#include <poll.h>
#include <ranges>
#include <spawn.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <retinue/retinue.hpp>

extern char** environ;

namespace {

using retinue::Future;
using retinue::ProcessPool;

constexpr int kOrderly = 40, kWrong = 41;
constexpr int kSignals[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};

/// What owner and workers both see.
struct Shared {
  std::atomic<int> running;    ///< tasks that will never end
  std::atomic<int> strangers;  ///< calls of the owner's handler in another process
};
Shared& shared() {
  static Shared* const all = [] {
    void* p = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) std::abort();
    return new (p) Shared{};
  }();
  return *all;
}

// Signals ------------------------------------------------------------------------------------------

std::atomic<int> caught{0};
pid_t owner = 0;
int caught_pipe[2];

void on_signal(int) {
  const int error = errno;
  if (::getpid() != owner) shared().strangers.fetch_add(1);
  caught.fetch_add(1);
  (void)!::write(caught_pipe[1], "", 1);
  errno = error;
}

// Without SA_RESTART: system calls of the owner's threads are cut short, which the pool must not mind.
void handle_signals(void (*handler)(int) = on_signal) {
  struct sigaction action{};
  action.sa_handler = handler;
  for (const int signal : kSignals) ::sigaction(signal, &action, nullptr);
}

void wait_for_signal() {
  pollfd fd{caught_pipe[0], POLLIN, 0};  // what is there stays there, for other threads that wait
  while (::poll(&fd, 1, -1) != 1) {
  }
}

// Tasks --------------------------------------------------------------------------------------------

void reached(std::string_view phase) {
  std::printf("reached %.*s\n", static_cast<int>(phase.size()), phase.data());
  std::fflush(stdout);
}

void demand(bool holds, const char* what) {
  if (holds) return;
  std::printf("not true: %s\n", what);
  std::fflush(stdout);
  ::_exit(kWrong);
}

int twice(int x) { return 2 * x; }

int twice_slowly(int x) {
  std::this_thread::sleep_for(std::chrono::microseconds(200));
  return 2 * x;
}

int work_for_ever() {
  shared().running.fetch_add(1);
  for (;;) ::pause();
}

int print_a_line(int x) {
  std::printf("line %d of a worker\n", x);
  return x;
}

int use_a_pool() {
  ProcessPool inner(1);
  return inner.submit(work_for_ever).get();
}

/// What a program that the task starts ended with.
int run_a_program() {
  const char* const words[] = {"sleep", "1000", nullptr};
  pid_t pid = 0;
  if (::posix_spawnp(&pid, words[0], nullptr, nullptr, const_cast<char* const*>(words), environ) != 0) return -1;
  shared().running.fetch_add(1);
  int status = 0;
  while (::waitpid(pid, &status, 0) != pid) {
  }
  return status;
}

void wait_until_running(int tasks) {
  while (shared().running.load() < tasks) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

// Phases -------------------------------------------------------------------------------------------

void idle(ProcessPool& pool) {
  demand(pool.submit(twice, 4).get() == 8, "the pool works");
  reached("idle");
  wait_for_signal();
}

void map(ProcessPool& pool) {
  int wanted = 0;
  for (const int x : pool.map(twice_slowly, std::views::iota(0))) {
    demand(x == 2 * wanted, "results are in order");
    if (++wanted == 20) reached("map");
  }
}

void submit(ProcessPool& pool) {
  std::deque<Future<int>> futures;
  for (int i = 0;; ++i) {
    futures.push_back(pool.submit(twice, i));
    if (i == 500) reached("submit");
    if (futures.size() < 3000) continue;
    demand(futures.front().get() == 2 * (i - 2999), "a result is the task's own");
    futures.pop_front();
  }
}

void get(ProcessPool& pool) {
  auto f = pool.submit(work_for_ever), g = pool.submit(work_for_ever);
  wait_until_running(2);
  reached("get");
  f.get();
}

void shutdown(ProcessPool& pool) {
  std::vector<Future<int>> futures;
  for (int i = 0; i < 100; ++i) futures.push_back(pool.submit(work_for_ever));
  wait_until_running(2);
  reached("shutdown");
  pool.shutdown();
  futures[0].get();  // in an orderly end: what terminate() made of it
}

void threads(ProcessPool& pool) {
  std::vector<std::jthread> all;
  for (int t = 0; t < 3; ++t)
    all.emplace_back([&pool] {
      try {
        for (;;) demand(pool.submit(twice, 3).get() == 6, "a result is the task's own");
      } catch (const retinue::Error&) {
        demand(caught > 0, "the pool works until a signal comes");
      }
    });
  demand(pool.submit(twice, 4).get() == 8, "the pool works");
  reached("threads");
}

void nested(ProcessPool& pool) {
  auto f = pool.submit(use_a_pool), g = pool.submit(use_a_pool);
  wait_until_running(2);
  reached("nested");
  f.get();
}

void child(ProcessPool& pool) {
  auto f = pool.submit(run_a_program);
  wait_until_running(1);
  reached("child");
  const int status = f.get();
  std::printf("the program that the task started ended by signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  std::fflush(stdout);
  pool.submit(work_for_ever).get();
}

void print(ProcessPool& pool) {
  int taken = 0;
  for (const int x : pool.map(print_a_line, std::views::iota(0))) {
    demand(x == taken, "results are in order");
    if (++taken == 20) reached("print");
  }
}

void owner_prints(ProcessPool& pool) {
  for (const int x : pool.map(twice, std::views::iota(0))) std::printf("%d\n", x);
}

bool has_terminal() {
  const int tty = ::open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (tty >= 0) ::close(tty);
  return tty >= 0;
}

/// Ends by itself, once the terminal that it was started in is gone; half of its work comes after that.
void finish(ProcessPool& pool) {
  int wanted = 0;
  reached("finish");
  for (const int x : pool.map(twice_slowly, std::views::iota(0, 2000))) {
    demand(x == 2 * wanted++, "results are in order");
    while (wanted == 1000 && has_terminal()) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  reached("end");
}

const std::map<std::string_view, void (*)(ProcessPool&)> kPhases{
    {"idle", idle},       {"map", map},       {"submit", submit}, {"get", get},     {"shutdown", shutdown},
    {"threads", threads}, {"nested", nested}, {"child", child},   {"print", print}, {"owner_prints", owner_prints},
    {"finish", finish}};

// Whole programs -----------------------------------------------------------------------------------

/// Pools that start, work and end, one after another.
int lives() {
  reached("lives");
  do {
    ProcessPool pool(2);
    int wanted = 0;
    for (const int x : pool.map(twice, std::views::iota(0, 50))) demand(x == 2 * wanted++, "results are in order");
    demand(wanted == 50, "a map is whole");
  } while (caught == 0);
  return kOrderly;
}

/// Signals to the whole group, as a held Ctrl-C would send them, while pools start and end.
int storm() {
  handle_signals();
  std::jthread wind([](std::stop_token stop) {
    while (!stop.stop_requested()) ::kill(0, SIGINT);
  });
  for (int i = 0; i < 40; ++i) {
    ProcessPool pool(8);
    demand(pool.submit(twice, i).get() == 2 * i, "the pool works");
    demand(pool.stats().workers_died == 0, "no worker dies of it");
  }
  wind.request_stop();
  wind.join();
  demand(shared().strangers == 0, "the owner's handler runs in the owner only");
  return 0;
}

/// Says "caught" for each signal: of two that come before the first is handled the kernel keeps one.
int go_on() {
  handle_signals([](int signal) {
    const int error = errno;
    on_signal(signal);
    (void)!::write(STDOUT_FILENO, "caught\n", 7);
    errno = error;
  });
  ProcessPool pool(2);
  reached("go_on");
  long done = 0;
  while (caught < 5) {
    int wanted = 0;
    for (const int x : pool.map(twice_slowly, std::views::iota(0, 100)))
      demand(x == 2 * wanted++, "results are in order");
    done += wanted;
  }
  const retinue::PoolStats stats = pool.stats();
  demand(stats.finished == static_cast<std::uint64_t>(done) && stats.workers_died == 0, "no task was disturbed");
  demand(shared().strangers == 0, "the owner's handler runs in the owner only");
  return 0;
}

std::unique_ptr<ProcessPool> global_pool;  // ended by the program's end

int leave(bool handler) {
  if (handler) handle_signals([](int) { ::_exit(kOrderly); });
  global_pool = std::make_unique<ProcessPool>(2);
  for (int i = 0; i < 10; ++i) global_pool->submit(work_for_ever);
  wait_until_running(2);
  reached("exit");
  return 0;
}

int run(void (*phase)(ProcessPool&), std::string_view option) {
  if (option == "handler") handle_signals();
  ProcessPool pool(2);
  if (option == "late_handler") handle_signals();
  if (option.empty()) {
    phase(pool);
    return 0;
  }
  std::jthread ender([&pool] {
    wait_for_signal();
    pool.terminate();
  });
  try {
    phase(pool);
  } catch (const retinue::Error&) {
    if (caught == 0) throw;
  }
  on_signal(0);  // for the ender, if the phase took the signal itself
  return kOrderly;
}

}  // namespace

int main(int count, char** words) {
  owner = ::getpid();
  shared();
  if (::pipe2(caught_pipe, O_NONBLOCK) != 0) return kWrong;
  const std::string_view phase = count > 1 ? words[1] : "", option = count > 2 ? words[2] : "";
  if (phase == "exit") return leave(option == "handler");
  if (phase == "storm") return storm();
  if (phase == "go_on") return go_on();
  if (phase == "lives") {
    if (option == "handler") handle_signals();
    return lives();
  }
  const auto found = kPhases.find(phase);
  if (found == kPhases.end()) {
    std::fprintf(stderr, "terminal_program: no phase of that name\n");
    return kWrong;
  }
  return run(found->second, option);
}
