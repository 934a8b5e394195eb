#include "watchdog.hpp"

#include <csignal>
#include <cstdio>
#include <unistd.h>

#include "processes.hpp"
#include "task.hpp"

namespace retinue_chaos {
namespace {

constexpr std::chrono::milliseconds kNap{20};

void describe(const std::string& folder, const char* indent) {
  std::fprintf(stderr, "%s%s", indent, text_of(folder + "/stat").c_str());
  for (const char* file : {"/wchan", "/syscall"})
    std::fprintf(stderr, "%s  %s: %s\n", indent, file + 1, text_of(folder + file).c_str());
}

void describe_all() {
  std::fprintf(stderr, "threads of the owner:\n");
  for (const std::string& thread : names_in("/proc/self/task")) describe("/proc/self/task/" + thread, "  ");
  std::fprintf(stderr, "processes below it:\n");
  for (const auto& [pid, info] : descendants()) describe("/proc/" + std::to_string(pid), "  ");
}

}  // namespace

Watchdog::Watchdog(std::chrono::seconds patience, bool waits, std::function<std::string()> describe)
    : patience_(patience), waits_(waits), describe_(std::move(describe)), thread_([this] { watch(); }) {}

Watchdog::~Watchdog() {
  over_.store(true);
  thread_.join();
}

void Watchdog::watch() {
  // Patience is counted in naps, which grow with everything else where the machine has no CPU to spare: there, for minutes
  // nothing may move, and all of it is on its way.
  const std::int64_t most_naps = std::chrono::milliseconds(patience_) / kNap;
  std::int64_t naps = 0;
  std::uint64_t last = 0;
  auto since = std::chrono::steady_clock::now();
  while (!over_.load()) {
    take_time(static_cast<std::uint32_t>(std::chrono::microseconds(kNap).count()));
    const std::uint64_t moves = moves_.load(std::memory_order_relaxed);
    const auto now = std::chrono::steady_clock::now();
    ++naps;
    if (moves != last) {
      since = now;
      naps = 0;
    }
    last = moves;
    const std::int64_t still = std::chrono::duration_cast<std::chrono::milliseconds>(now - since).count();
    if (still > standstill_ms_.load()) standstill_ms_.store(still);
    if (naps > most_naps) bite();
  }
}

void Watchdog::bite() {
  std::fprintf(stderr, "HANG: nothing has moved for %lld s in %s\n", static_cast<long long>(patience_.count()),
               describe_().c_str());
  describe_all();
  std::fprintf(stderr, "process %d %s\n", ::getpid(),
               waits_ ? "waits for a debugger" : "ends, and all its processes with it");
  std::fflush(nullptr);
  while (waits_) ::pause();
  kill_descendants();
  ::_exit(3);
}

void kill_descendants() {
  for (const auto& [pid, info] : descendants())
    if (info.alive()) ::kill(pid, SIGKILL);  // nobody has waited for it but its own parent, which is one of ours
}

}  // namespace retinue_chaos
