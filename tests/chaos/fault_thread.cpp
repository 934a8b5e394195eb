#include "fault_thread.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <dirent.h>
#include <fcntl.h>
#include <map>
#include <ranges>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include <retinue/shared_memory.hpp>

#include "board.hpp"
#include "processes.hpp"
#include "random.hpp"

namespace retinue_chaos {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }
void nap_ms(std::uint32_t ms) { take_time(ms * 1000); }

}  // namespace

Continuer::Continuer(retinue::ProcessPool& pool, std::function<void()> progress)
    : pool_(pool), progress_(std::move(progress)) {
  thread_ = std::thread([this] {
    std::map<pid_t, unsigned> seen;  // for how many rounds a worker was seen stopped
    std::uint64_t started = 0;
    while (!over_.load()) {
      // All that is seen of tasks whose turn to be read is yet to come. The pool is not asked: that has it look for results.
      if (const std::uint64_t all = board().started.load(); std::exchange(started, all) != all) progress_();
      std::map<pid_t, unsigned> now;
      for (const pid_t pid : pool_.worker_pids())
        if (process_info(pid).state == 'T') {
          if (++(now[pid] = seen[pid]) > static_cast<unsigned>(pid) % 8) signal_worker(pid, SIGCONT);
        }
      seen.swap(now);
      nap_ms(2);
    }
  });
}

Continuer::~Continuer() {
  over_.store(true);
  thread_.join();
}

FaultThread::FaultThread(const Round& round, retinue::ProcessPool& pool, InjectedFaults& injected,
                         std::function<void()> progress)
    : round_(round), pool_(pool), injected_(injected), progress_(std::move(progress)) {
  thread_ = std::thread([this] { run(); });
}

FaultThread::~FaultThread() { finish(); }

void FaultThread::finish() {
  hurry_.store(true);
  if (thread_.joinable()) thread_.join();
}

void FaultThread::run() {
  for (const Fault& fault : round_.faults) {
    wait_for(fault.at);
    inject(fault);
    progress_();
  }
}

void FaultThread::wait_for(std::uint32_t ended) {
  std::uint64_t last = 0;
  auto idle_since = Clock::now();
  while (!hurry_.load()) {
    const std::uint64_t now = pool_.stats().finished;
    if (now >= ended) return;
    if (now != last) idle_since = Clock::now();
    if (Clock::now() - idle_since > 200ms) return;
    last = now;
    take_time(300);
  }
  take_time(500);  // the last faults meet workers in all states of their lives, too
}

void FaultThread::inject(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kill: return kill_one(fault);
    case FaultKind::stop: return stop_one(fault);
    case FaultKind::descriptors: return exhaust_descriptors(fault);
    case FaultKind::memory: return exhaust_memory(fault);
    case FaultKind::clock: {
      constexpr std::int64_t kDay = 86'400;
      const std::int64_t seconds = static_cast<std::int64_t>(fault.selector % (800 * kDay)) - 400 * kDay;
      board().clock_jump_ns.store(seconds * 1'000'000'000);
      break;
    }
    case FaultKind::other_pool: return run_other_pool(fault);
    case FaultKind::fork_owner: return fork_owner(fault);
    case FaultKind::kill_server: {
      const auto pids = pool_.worker_pids();
      if (pids.empty() || !signal_server_of(pids[fault.selector % pids.size()], SIGKILL)) return;
      break;
    }
    case FaultKind::terminate: pool_.terminate(); break;
    case FaultKind::cancel_rest: pool_.shutdown(true); break;
    case FaultKind::shut_early: return;  // the thread that runs the round does it, once all is submitted
    case FaultKind::kCount: return;
  }
  injected_.add(fault.kind);
}

void FaultThread::kill_one(const Fault& fault) {
  const auto until = Clock::now() + (is_over() ? 0ms : hurry_.load() ? 100ms : 1s);
  do {  // there may just be none: all are being replaced
    const auto pids = pool_.worker_pids();
    for (std::size_t i = 0; i < pids.size(); ++i) {
      const pid_t pid = pids[(fault.selector + i) % pids.size()];
      if (!signal_worker(pid, SIGKILL)) continue;
      ++injected_.kills[pid];
      injected_.add(FaultKind::kill);
      return;
    }
    take_time(300);
  } while (Clock::now() < until);
}

// The pool has ended, or will at once, and its workers are not replaced.
bool FaultThread::is_over() const {
  return injected_.count(FaultKind::kill_server) + injected_.count(FaultKind::terminate) +
             injected_.count(FaultKind::cancel_rest) >
         0;
}

void FaultThread::stop_one(const Fault& fault) {
  const auto pids = pool_.worker_pids();
  if (!pids.empty() && signal_worker(pids[fault.selector % pids.size()], SIGSTOP)) injected_.add(FaultKind::stop);
}

// The next number is beyond the limit, and whatever is free below is filled.
void FaultThread::exhaust_descriptors(const Fault& fault) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const int highest = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (highest < 0) return;
  const rlimit none{static_cast<rlim_t>(highest), before.rlim_max};
  ::close(highest);
  ::setrlimit(RLIMIT_NOFILE, &none);
  injected_.add(FaultKind::descriptors);
  try {
    retinue::ProcessPool pool(1);  // a descriptor may have been closed meanwhile by another thread
    if (pool.submit(twice, 21).get() != 42)
      injected_.problems.push_back("a pool made without descriptors cannot count");
  } catch (const retinue::ResourceExhausted&) {
  } catch (const std::exception& e) {
    injected_.problems.push_back(std::string("a pool made without descriptors: ") + e.what());
  }
  nap_ms(fault.millis);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

void FaultThread::exhaust_memory(const Fault& fault) {
  const std::uint64_t now = retinue::shared_memory_usage().bytes_reserved;
  retinue::limit_shared_memory(now + fault.selector % (1 << 20));
  injected_.add(FaultKind::memory);
  nap_ms(fault.millis);
  retinue::limit_shared_memory(0);
}

void FaultThread::run_other_pool(const Fault& fault) {
  injected_.add(FaultKind::other_pool);
  try {
    retinue::ProcessPool pool(1 + static_cast<unsigned>(fault.selector % 3));
    int sum = 0;
    for (int y : pool.map(twice, std::views::iota(0, 50))) sum += y;
    if (sum != 2450) injected_.problems.push_back("another pool gives another sum");
  } catch (const std::exception& e) {
    injected_.problems.push_back(std::string("another pool of the same owner: ") + e.what());
  }
}

// In the child the pool must be closed, and a pool of its own must work.
void FaultThread::fork_owner(const Fault& fault) {
  const pid_t child = ::fork();
  if (child == 0) {
    int code = 0;
    try {
      pool_.submit(twice, 1);
      code = 11;
    } catch (const retinue::PoolClosed&) {
    } catch (...) {
      code = 12;
    }
    try {
      retinue::ProcessPool own(1 + static_cast<unsigned>(fault.selector % 2));
      if (own.submit(twice, 21).get() != 42) code = 13;
    } catch (...) {
      code = 14;
    }
    ::_exit(code);
  }
  if (child < 0) return;
  injected_.add(FaultKind::fork_owner);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0)
    injected_.problems.push_back("a child of the owner ended with status " + std::to_string(status) +
                                 ": 11 the pool was open to it, 13 and 14 a pool of its own failed");
}

}  // namespace retinue_chaos
