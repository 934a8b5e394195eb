#include "tormentor.hpp"

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

Tormentor::Tormentor(const Round& round, retinue::ProcessPool& pool, Inflicted& inflicted,
                     std::function<void()> progress)
    : round_(round), pool_(pool), inflicted_(inflicted), progress_(std::move(progress)) {
  thread_ = std::thread([this] { run(); });
}

Tormentor::~Tormentor() { finish(); }

void Tormentor::finish() {
  hurry_.store(true);
  if (thread_.joinable()) thread_.join();
}

void Tormentor::run() {
  for (const Blow& blow : round_.blows) {
    wait_for(blow.at);
    strike(blow);
    progress_();
  }
}

void Tormentor::wait_for(std::uint32_t ended) {
  std::uint64_t last = 0;
  auto quiet_since = Clock::now();
  while (!hurry_.load()) {
    const std::uint64_t now = pool_.stats().finished;
    if (now >= ended) return;
    if (now != last) quiet_since = Clock::now();
    if (Clock::now() - quiet_since > 200ms) return;
    last = now;
    take_time(300);
  }
  take_time(500);  // the last blows meet workers in all states of their lives, too
}

void Tormentor::strike(const Blow& blow) {
  switch (blow.torment) {
    case Torment::kill: return kill_one(blow);
    case Torment::stop: return stop_one(blow);
    case Torment::descriptors: return exhaust_descriptors(blow);
    case Torment::memory: return exhaust_memory(blow);
    case Torment::clock: {
      constexpr std::int64_t kDay = 86'400;
      const std::int64_t seconds = static_cast<std::int64_t>(blow.selector % (800 * kDay)) - 400 * kDay;
      board().clock_jump_ns.store(seconds * 1'000'000'000);
      break;
    }
    case Torment::other_pool: return run_other_pool(blow);
    case Torment::fork_owner: return fork_owner(blow);
    case Torment::kill_server: {
      const auto pids = pool_.worker_pids();
      if (pids.empty() || !signal_server_of(pids[blow.selector % pids.size()], SIGKILL)) return;
      break;
    }
    case Torment::terminate: pool_.terminate(); break;
    case Torment::cancel_rest: pool_.shutdown(true); break;
    case Torment::shut_early: return;  // the thread that runs the round does it, once all is submitted
    case Torment::kCount: return;
  }
  inflicted_.add(blow.torment);
}

void Tormentor::kill_one(const Blow& blow) {
  const auto until = Clock::now() + (is_over() ? 0ms : hurry_.load() ? 100ms : 1s);
  do {  // there may just be none: all are being replaced
    const auto pids = pool_.worker_pids();
    for (std::size_t i = 0; i < pids.size(); ++i) {
      const pid_t pid = pids[(blow.selector + i) % pids.size()];
      if (!signal_worker(pid, SIGKILL)) continue;
      ++inflicted_.kills[pid];
      inflicted_.add(Torment::kill);
      return;
    }
    take_time(300);
  } while (Clock::now() < until);
}

// The pool has ended, or will at once, and its workers are not replaced.
bool Tormentor::is_over() const {
  return inflicted_.count(Torment::kill_server) + inflicted_.count(Torment::terminate) +
             inflicted_.count(Torment::cancel_rest) >
         0;
}

void Tormentor::stop_one(const Blow& blow) {
  const auto pids = pool_.worker_pids();
  if (!pids.empty() && signal_worker(pids[blow.selector % pids.size()], SIGSTOP)) inflicted_.add(Torment::stop);
}

// The next number is beyond the limit, and whatever is free below is filled.
void Tormentor::exhaust_descriptors(const Blow& blow) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const int highest = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (highest < 0) return;
  const rlimit none{static_cast<rlim_t>(highest), before.rlim_max};
  ::close(highest);
  ::setrlimit(RLIMIT_NOFILE, &none);
  inflicted_.add(Torment::descriptors);
  try {
    retinue::ProcessPool pool(1);  // a descriptor may have been closed meanwhile by another thread
    if (pool.submit(twice, 21).get() != 42)
      inflicted_.problems.push_back("a pool made without descriptors cannot count");
  } catch (const retinue::ResourceExhausted&) {
  } catch (const std::exception& e) {
    inflicted_.problems.push_back(std::string("a pool made without descriptors: ") + e.what());
  }
  nap_ms(blow.millis);
  ::setrlimit(RLIMIT_NOFILE, &before);
}

void Tormentor::exhaust_memory(const Blow& blow) {
  const std::uint64_t now = retinue::shared_memory_usage().bytes_reserved;
  retinue::limit_shared_memory(now + blow.selector % (1 << 20));
  inflicted_.add(Torment::memory);
  nap_ms(blow.millis);
  retinue::limit_shared_memory(0);
}

void Tormentor::run_other_pool(const Blow& blow) {
  inflicted_.add(Torment::other_pool);
  try {
    retinue::ProcessPool pool(1 + static_cast<unsigned>(blow.selector % 3));
    int sum = 0;
    for (int y : pool.map(twice, std::views::iota(0, 50))) sum += y;
    if (sum != 2450) inflicted_.problems.push_back("another pool gives another sum");
  } catch (const std::exception& e) {
    inflicted_.problems.push_back(std::string("another pool of the same owner: ") + e.what());
  }
}

// In the child the pool must be closed, and a pool of its own must work.
void Tormentor::fork_owner(const Blow& blow) {
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
      retinue::ProcessPool own(1 + static_cast<unsigned>(blow.selector % 2));
      if (own.submit(twice, 21).get() != 42) code = 13;
    } catch (...) {
      code = 14;
    }
    ::_exit(code);
  }
  if (child < 0) return;
  inflicted_.add(Torment::fork_owner);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0)
    inflicted_.problems.push_back("a child of the owner ended with status " + std::to_string(status) +
                                  ": 11 the pool was open to it, 13 and 14 a pool of its own failed");
}

}  // namespace retinue_chaos
