// What tasks do to their workers.
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <memory>
#include <new>
#include <ranges>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <retinue/process_pool.hpp>

#include "board.hpp"
#include "random.hpp"
#include "sanitized.hpp"
#include "task.hpp"

namespace retinue_chaos {
namespace {

std::uint64_t mark_expected = 0;   // set in the owner before it makes a pool, so workers have it by the fork
std::uint64_t mark_of_worker = 0;  // set by the initializer

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGKILL, SIGTERM, SIGUSR1};

/// A soft limit of this process, put back at the end of its scope.
class Limited {
 public:
  Limited(decltype(RLIMIT_DATA) what, rlim_t most) : what_(what) {
    ::getrlimit(what_, &before_);
    const rlimit limit{most < before_.rlim_cur ? most : before_.rlim_cur, before_.rlim_max};
    ::setrlimit(what_, &limit);
  }
  Limited(const Limited&) = delete;
  Limited& operator=(const Limited&) = delete;
  ~Limited() { ::setrlimit(what_, &before_); }

 private:
  decltype(RLIMIT_DATA) what_;
  rlimit before_{};
};

// Nothing is written to what it takes, so the machine's memory is not at stake.
void exhaust_memory() {
  const Limited limited(RLIMIT_DATA, rlim_t{256} << 20);
  std::vector<std::unique_ptr<char[]>> taken;
  for (;;) taken.emplace_back(new char[4 << 20]);
}

void open_all(std::vector<int>& opened) {
  const Limited limited(RLIMIT_NOFILE, 128);
  for (int fd; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) opened.push_back(fd);
}

void exhaust_descriptors(bool keeps_them) {
  std::vector<int> opened;
  open_all(opened);
  if (keeps_them) {
    // From here on this worker has none, whatever it runs next.
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 128;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    return;
  }
  for (const int fd : opened) ::close(fd);
}

void grow() {
  static std::vector<std::unique_ptr<char[]>> kept;
  constexpr std::size_t kBytes = 4 << 20;
  if (kept.size() >= 16) return;
  kept.emplace_back(new char[kBytes]());
}

// Only what may be done between fork and exec in a process with threads.
pid_t fork_one(std::uint32_t micros) {
  const pid_t child = ::fork();
  if (child == 0) {
    take_time(micros);
    ::_exit(0);
  }
  return child;
}

void wait_for(pid_t child) {
  while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void nest(const Task& task) {
  retinue::ProcessPool pool(1 + static_cast<unsigned>(task.seed % 2));
  constexpr int kInner = 12;
  auto doomed = pool.submit([](int code) { ::_exit(code); }, 3);
  int sum = 0;
  for (int y : pool.with({.retries = 20}).map([](int x) { return x * x; }, std::views::iota(0, kInner))) sum += y;
  try {
    doomed.get();
    throw Wrong("a nested task that leaves its worker has ended well");
  } catch (const retinue::WorkerDied& e) {
    if (e.exit_code() != 3) throw Wrong(std::string("a nested task that leaves its worker: ") + e.what());
  }
  if (sum != 506) throw Wrong("a nested map gave another sum");
}

void meet_signal(int signal) {
  if (signal == SIGSEGV && !kSanitized) {
    int* volatile nowhere = nullptr;
    *const_cast<volatile int*>(nowhere) = 1;
  }
  std::raise(signal);
}

}  // namespace

int signal_of(const Task& task) {
  return task.behaviour == Behaviour::crash ? kSignals[task.seed / 16 % std::size(kSignals)] : 0;
}
int exit_code_of(const Task& task) {
  return task.behaviour == Behaviour::leave ? static_cast<int>(task.seed / 16 % 100) + 1 : -1;
}

void mark_worker(std::uint64_t mark) { mark_of_worker = mark; }
void expect_mark(std::uint64_t mark) { mark_expected = mark; }

void commit(const Task& task) {
  if (mark_of_worker != mark_expected) throw Wrong("a worker runs a task and has not been initialised");
  board().runs[task.index].fetch_add(1);
  board().started.fetch_add(1);
  const std::string text = "task " + std::to_string(task.index) + " of seed " + std::to_string(task.seed);
  switch (task.behaviour) {
    case Behaviour::plain: return;
    case Behaviour::nap: return take_time(task.millis * 1000);
    case Behaviour::throw_standard:
      if (task.seed % 2 == 0) throw std::out_of_range(text);
      throw std::runtime_error(text + std::string(task.size % 5000, '!'));
    case Behaviour::throw_registered: throw Upset(text, task.seed);
    case Behaviour::throw_foreign: throw Foreign(text);
    case Behaviour::leave: ::_exit(exit_code_of(task));
    case Behaviour::crash: return meet_signal(signal_of(task));
    case Behaviour::stop: std::raise(SIGSTOP); return;
    case Behaviour::exhaust_memory: return exhaust_memory();
    case Behaviour::exhaust_descriptors: return exhaust_descriptors(false);
    case Behaviour::hoard_descriptors: return exhaust_descriptors(true);
    case Behaviour::grow: return grow();
    case Behaviour::fork_child: return wait_for(fork_one(100));
    case Behaviour::fork_orphan: fork_one(task.millis * 1000); return;
    case Behaviour::fork_return:
      if (const pid_t child = ::fork(); child > 0) wait_for(child);
      return;
    case Behaviour::nest: return nest(task);
    case Behaviour::linger:
      for (;;) take_time(1'000'000);
    case Behaviour::kCount: break;
  }
}

}  // namespace retinue_chaos
