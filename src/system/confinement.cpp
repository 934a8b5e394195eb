#include "confinement.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <vector>

#include <retinue/error.hpp>

#include "address_limit.hpp"
#include "call_filter.hpp"
#include "calls.hpp"
#include "fd.hpp"

namespace retinue::detail {
namespace {

// What it takes: becoming another user, and killing workers that are one.
bool may_change_user() noexcept {
  if (geteuid() != 0) return false;  // whose capabilities would outlive the change
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  const std::uint32_t needed = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL;
  return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed;
}

// It has nothing to change then, and may be anybody.
bool is_user(uid_t uid) noexcept {
  uid_t real = 0, effective = 0, saved = 0;
  return getresuid(&real, &effective, &saved) == 0 && real == uid && effective == uid && saved == uid;
}

void look_up(const std::string& user, Confinement& into) {
  uid_t number = 0;
  const char* const end = user.data() + user.size();
  const auto [rest, wrong] = std::from_chars(user.data(), end, number);
  const bool is_number = wrong == std::errc() && rest == end;

  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> text(1024);
  int error = ERANGE;
  while (error == ERANGE) {
    text.resize(text.size() * 2);
    error = is_number ? getpwuid_r(number, &entry, text.data(), text.size(), &found)
                      : getpwnam_r(user.c_str(), &entry, text.data(), text.size(), &found);
  }
  if (found == nullptr && error != 0 && error != ENOENT && error != ESRCH)
    throw_call_failed("getpwnam_r", error, "'" + user + "'");
  if (found == nullptr && !is_number) throw Error("WorkerLimits::user: there is no user '" + user + "' here");
  into.other_user = 1;
  into.uid = found != nullptr ? found->pw_uid : number;
  into.gid = found != nullptr ? found->pw_gid : static_cast<gid_t>(number);
  if (into.uid == 0) throw Error("WorkerLimits::user: workers that run as root are not limited by that");
  if (into.uid == static_cast<uid_t>(-1) || into.gid == static_cast<gid_t>(-1))
    throw Error("WorkerLimits::user: '" + user + "' stands for no user");
  if (!is_user(into.uid) && !may_change_user())
    throw Error("WorkerLimits::user: only root can have workers run as '" + user +
                "' (with the capabilities CAP_SETUID, CAP_SETGID and CAP_KILL)");
  if (found == nullptr) return;
  int count = Confinement::kMaxGroups;
  if (getgrouplist(found->pw_name, found->pw_gid, into.groups, &count) < 0)
    throw Error("WorkerLimits::user: '" + user + "' is in " + std::to_string(count) + " groups, and " +
                std::to_string(Confinement::kMaxGroups) + " is the most there may be");
  into.group_count = static_cast<std::uint32_t>(count);
}

// The result of a call, and what to say of it if it is a failure.
void check(int result, const char* name, const std::string& argument) {
  if (result != 0) throw_call_failed(name, errno, argument);
}

// Also where the owner ignores the signal, or has it blocked.
void enable_cpu_limit_signal() {
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  check(sys::sigaction(SIGXCPU, &usual, nullptr), "sigaction", "SIGXCPU");
  sigset_t mask;
  if (const int error = sys::pthread_sigmask(SIG_SETMASK, nullptr, &mask); error != 0)
    throw_call_failed("pthread_sigmask", error, "SIGXCPU");
  sigdelset(&mask, SIGXCPU);
  if (const int error = sys::pthread_sigmask(SIG_SETMASK, &mask, nullptr); error != 0)
    throw_call_failed("pthread_sigmask", error, "SIGXCPU");
}

void limit(__rlimit_resource_t resource, const char* name, std::uint64_t most) {
  rlimit now{};
  if (getrlimit(resource, &now) != 0) throw_call_failed("getrlimit", errno, name);
  now.rlim_max = std::min<rlim_t>(now.rlim_max, most);
  now.rlim_cur = std::min(now.rlim_cur, now.rlim_max);
  check(sys::setrlimit(resource, &now), "setrlimit", std::string(name) + ", " + std::to_string(most));
}

// Each of these changes all threads.
void change_user(const Confinement& confinement) {
  const uid_t uid = confinement.uid;
  const gid_t gid = confinement.gid;
  if (is_user(uid)) return;
  const std::string who = "user " + std::to_string(uid) + ", group " + std::to_string(gid);
  check(sys::setgroups(confinement.group_count, confinement.groups), "setgroups", who);
  check(sys::setresgid(gid, gid, gid), "setresgid", who);
  check(sys::setresuid(uid, uid, uid), "setresuid", who);
}

}  // namespace

Confinement confinement_of(const WorkerLimits& limits) {
  Confinement to;
  if (limits.none()) return to;
  to.any = 1;
  if (limits.cpu_time) {
    if (limits.cpu_time->count() < 1) throw Error("WorkerLimits::cpu_time must be a second at least");
    constexpr std::uint64_t kMaxSeconds = 1'000'000'000;  // the kernel counts nanoseconds
    to.cpu_seconds = std::min(static_cast<std::uint64_t>(limits.cpu_time->count()), kMaxSeconds);
  }
  if (limits.address_space) to.address_space = *limits.address_space;
  if (limits.open_files) to.open_files = *limits.open_files;
  to.no_network = limits.network ? 0 : 1;
  to.no_programs = limits.programs ? 0 : 1;
  if ((to.no_network != 0 || to.no_programs != 0) && !has_call_filter())
    throw Error("WorkerLimits::network and programs: there are filters for x86-64 and AArch64 only");
  if (!limits.user.empty()) look_up(limits.user, to);
  return to;
}

void confine(const Confinement& confinement) {
  if (confinement.any == 0) return;
  if (confinement.cpu_seconds != Confinement::kUnlimited) {
    enable_cpu_limit_signal();
    check(grant_cpu_seconds(confinement.cpu_seconds) ? 0 : -1, "setrlimit",
          "RLIMIT_CPU, " + std::to_string(confinement.cpu_seconds));
  }
  if (confinement.address_space != Confinement::kUnlimited) {
    const std::uint64_t mapped = mapped_bytes();
    limit(RLIMIT_AS, "RLIMIT_AS", mapped + std::min(confinement.address_space, Confinement::kUnlimited - mapped));
  }
  if (confinement.other_user != 0) change_user(confinement);
  check(sys::prctl(PR_SET_NO_NEW_PRIVS, 1), "prctl", "PR_SET_NO_NEW_PRIVS");
  if (confinement.no_network != 0 || confinement.no_programs != 0)
    filter_calls(confinement.no_network != 0, confinement.no_programs != 0);
  if (confinement.open_files != Confinement::kUnlimited) limit(RLIMIT_NOFILE, "RLIMIT_NOFILE", confinement.open_files);
}

bool grant_cpu_seconds(std::uint64_t seconds) noexcept {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  rlimit now{};
  if (getrlimit(RLIMIT_CPU, &now) != 0) return false;
  now.rlim_cur = std::min<rlim_t>(static_cast<std::uint64_t>(used.tv_sec) + seconds + 1, now.rlim_max);
  return sys::setrlimit(RLIMIT_CPU, &now) == 0;
}

}  // namespace retinue::detail
