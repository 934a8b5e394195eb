// Pools whose workers have limits, while the calls that set them fail. Whatever value comes back was reckoned by a worker
// that had them all: each task looks.
#pragma once

#include <algorithm>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <retinue/process_pool.hpp>

#include "trial.hpp"

namespace retinue_test {

inline constexpr rlim_t kMaxCpuSeconds = 20, kMaxFiles = 100;
inline constexpr std::uint64_t kMaxAddresses = std::uint64_t{1} << 30;

inline bool may_limit_addresses() { return kSlowdown == 1; }  // sanitizers map terabytes
inline bool may_change_user() { return ::geteuid() == 0; }

inline retinue::WorkerLimits all_limits() {
  retinue::WorkerLimits limits;
  limits.cpu_time = std::chrono::seconds(kMaxCpuSeconds);
  if (may_limit_addresses()) limits.address_space = kMaxAddresses;
  limits.open_files = kMaxFiles;
  limits.network = false;
  limits.programs = false;
  if (may_change_user()) limits.user = "64999";
  return limits;
}

inline rlim_t soft(__rlimit_resource_t resource) {
  rlimit limit{};
  ::getrlimit(resource, &limit);
  return limit.rlim_cur;
}

/// In a worker: which of the limits it does not have; empty if all hold.
inline std::string missing_limits(bool addresses, bool user) {
  std::string missing;
  const auto demand = [&missing](bool holds, const char* limit) {
    if (!holds) missing += std::string(limit) + " ";
  };
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  demand(soft(RLIMIT_CPU) <= static_cast<rlim_t>(used.tv_sec) + kMaxCpuSeconds + 1, "cpu_time");
  demand(!addresses || soft(RLIMIT_AS) != RLIM_INFINITY, "address_space");
  demand(soft(RLIMIT_NOFILE) <= kMaxFiles, "open_files");
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  demand(fd < 0 && errno == EACCES, "network");
  if (fd >= 0) ::close(fd);
  ::execl("/no/such/program", "program", nullptr);
  demand(errno == EACCES, "programs");
  uid_t uids[3];
  gid_t gids[3];
  ::getresuid(&uids[0], &uids[1], &uids[2]);
  ::getresgid(&gids[0], &gids[1], &gids[2]);
  for (int i = 0; user && i < 3; ++i) demand(uids[i] == 64999 && gids[i] == 64999, "user");
  demand(!user || ::getgroups(0, nullptr) == 0, "groups");
  demand(::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "no new privileges");
  int signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &signal);
  demand(signal == SIGKILL, "death with the pool");
  return missing;
}

inline int cpu_seconds_left() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<int>(std::min<rlim_t>(soft(RLIMIT_CPU) - static_cast<rlim_t>(used.tv_sec), 1'000'000));
}

inline void demand_limits(retinue::ProcessPool& pool) {
  const std::string missing = pool.submit(missing_limits, may_limit_addresses(), may_change_user()).get();
  if (!missing.empty()) Trial::broken("a limited task", "runs without", std::runtime_error(missing));
}

inline void limited_workers(Trial& trial) {
  // Each task is granted its own, so this limit has two chances to be set, and one alone must not pass for both.
  trial.step("a pool whose CPU time alone is limited", [] {
    retinue::ProcessPoolOptions options;
    options.workers = 1;
    options.limits.cpu_time = std::chrono::seconds(kMaxCpuSeconds);
    retinue::ProcessPool pool(options);
    DEMAND(pool.submit(cpu_seconds_left).get() <= static_cast<int>(kMaxCpuSeconds) + 1);
  });
  trial.forget_closed();
  // One worker: then the calls of the role are those of one process, one after another.
  retinue::ProcessPoolOptions options;
  options.workers = 1;
  options.limits = all_limits();
  std::optional<retinue::ProcessPool> pool;
  if (!trial.step("making a limited pool", [&] { pool.emplace(options); })) return;
  for (int i = 0; i < 3; ++i)
    trial.step("a limited task", [&] {
      demand_limits(*pool);
      pool->submit([] { nap(11ms); }).get();  // the next one is granted CPU time of its own
    });
  trial.step_throws<retinue::WorkerDied>("a killed worker", [&] { pool->submit(meet_signal, SIGKILL).get(); });
  trial.step("a limited task of a worker in another's place", [&] { demand_limits(*pool); });
  trial.lift_and_use(*pool);
  try {
    demand_limits(*pool);
  } catch (const retinue::Error&) {  // closed, or the one failure has struck just now
  }
}

}  // namespace retinue_test
