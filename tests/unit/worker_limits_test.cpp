// What WorkerLimits forbid, to whom, and from when on.
#include "pool_tasks.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <thread>

#include "support/own_time.hpp"
#include "system/fault.hpp"

extern "C" char** environ;

namespace retinue_test {
namespace worker_limits_test {

retinue::ProcessPoolOptions limited(const retinue::WorkerLimits& limits, unsigned workers = 1) {
  retinue::ProcessPoolOptions options;
  options.workers = workers;
  options.limits = limits;
  return options;
}

// The errno of a call, or 0.
int outcome(long result) { return result < 0 ? errno : 0; }

int try_socket(int family, int type) {
  const int fd = ::socket(family, type, 0);
  const int error = outcome(fd);
  if (fd >= 0) ::close(fd);
  return error;
}

int run_true() {
  char* words[] = {const_cast<char*>("true"), nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawnp(&pid, words[0], nullptr, nullptr, words, environ);
  if (error != 0) return error;
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

int open_many(int n) {
  std::vector<int> open;
  int error = 0;
  for (int i = 0; i < n && error == 0; ++i) {
    open.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    error = outcome(open.back());
  }
  for (const int fd : open)
    if (fd >= 0) ::close(fd);
  return error;
}

void use_cpu(double seconds) {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  const double until = static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9 + seconds;
  do ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  while (static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9 < until);
}

int no_new_privileges() { return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); }

TEST(WorkerLimits, without_any_nothing_is_changed) {
  EXPECT_TRUE(retinue::WorkerLimits().none());
  retinue::ProcessPool pool(1);
  EXPECT_EQ(pool.submit(no_new_privileges).get(), ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  EXPECT_EQ(pool.submit(try_socket, AF_INET, SOCK_STREAM).get(), 0);
  EXPECT_EQ(pool.submit(run_true).get(), 0);
}

TEST(WorkerLimits, any_keeps_workers_from_gaining_privileges) {
  retinue::ProcessPool pool(limited({.open_files = 100}));
  EXPECT_EQ(pool.submit(no_new_privileges).get(), 1);
}

TEST(WorkerLimits, a_task_that_uses_more_cpu_time_dies_and_says_why) {
  // Also where the owner has the signal blocked, which workers inherit.
  sigset_t blocked, before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGXCPU);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  retinue::ProcessPool pool(limited({.cpu_time = 1s}));
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  const auto e = death_of(pool, spin_for_ever);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->signal(), SIGXCPU);
  EXPECT_NE(std::string(e->what()).find("CPU time"), std::string::npos) << e->what();
}

TEST(WorkerLimits, cpu_time_is_each_tasks_own) {
  retinue::ProcessPool pool(limited({.cpu_time = 1s}));
  const pid_t worker = pool.submit(::getpid).get();
  for (int i = 0; i < 6; ++i) EXPECT_NO_THROW(pool.submit(use_cpu, 0.4).get());
  EXPECT_EQ(pool.submit(::getpid).get(), worker);
}

TEST(WorkerLimits, cpu_time_that_a_hard_limit_of_the_owners_cuts_off_is_not_exceeded) {
  retinue::ProcessPoolOptions options = limited({.cpu_time = std::chrono::seconds::max()});
  options.initializer = [] {
    const rlimit limit{5000, 5000};
    ::setrlimit(RLIMIT_CPU, &limit);
  };
  retinue::ProcessPool pool(options);
  EXPECT_EQ(pool.submit([] {
                  rlimit limit{};
                  ::getrlimit(RLIMIT_CPU, &limit);
                  return limit.rlim_cur;
                })
                .get(),
            5000u);
}

TEST(WorkerLimits, endless_cpu_time_is_no_limit) {
  retinue::ProcessPool pool(limited({.cpu_time = std::chrono::seconds::max()}));
  for (int i = 0; i < 3; ++i) EXPECT_NO_THROW(pool.submit(use_cpu, 0.02).get());
}

TEST(WorkerLimits, address_space_counts_from_what_the_worker_has) {
  if (kSlowdown > 1) GTEST_SKIP() << "sanitizers map terabytes";
  retinue::ProcessPoolOptions options = limited({.address_space = std::uint64_t{64} << 20});
  static std::vector<char> loaded;
  options.initializer = [] { loaded.assign(std::size_t{128} << 20, 'x'); };
  retinue::ProcessPool pool(options);
  const auto take = [](std::size_t megabytes) { return std::vector<char>(megabytes << 20, 'y')[0]; };
  EXPECT_EQ(pool.submit([] { return loaded.back(); }).get(), 'x');
  EXPECT_EQ(pool.submit(take, std::size_t{32}).get(), 'y');
  EXPECT_THROW(pool.submit(take, std::size_t{96}).get(), std::bad_alloc);
  EXPECT_EQ(pool.submit(take, std::size_t{32}).get(), 'y') << "the worker lives on";
  // Results and arguments lie in addresses that are there already.
  EXPECT_EQ(pool.submit([] { return std::vector<double>(3'000'000, 0.5); }).get().size(), 3'000'000u);
  EXPECT_EQ(pool.submit([](const std::vector<double>& v) { return v.size(); }, std::vector<double>(3'000'000)).get(),
            3'000'000u);
}

TEST(WorkerLimits, without_any_memory_left_tasks_still_end) {
  if (kSlowdown > 1) GTEST_SKIP() << "sanitizers end the program where memory is out";
  retinue::ProcessPool pool(limited({.address_space = 0}));
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
  EXPECT_THROW(pool.submit([] { return std::vector<char>(std::size_t{64} << 20); }).get(), std::bad_alloc);
  EXPECT_EQ(pool.submit(square, 4).get(), 16);
}

TEST(WorkerLimits, open_files_are_limited) {
  retinue::ProcessPool pool(limited({.open_files = 40}));
  EXPECT_EQ(pool.submit(open_many, 60).get(), EMFILE);
  EXPECT_EQ(pool.submit(open_many, 10).get(), 0);
  EXPECT_EQ(open_many(60), 0) << "the owner is not";
}

TEST(WorkerLimits, fewer_files_than_are_open_leave_the_pool_working) {
  retinue::ProcessPoolOptions options = limited({.open_files = 0});
  options.max_tasks_per_worker = 3;
  options.max_memory_per_worker = std::size_t{1} << 40;
  retinue::ProcessPool pool(options);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(pool.submit(open_many, 1).get(), EMFILE);
}

TEST(WorkerLimits, without_network_sockets_reach_this_machine_only) {
  retinue::ProcessPool pool(limited({.network = false}));
  for (const int family : {AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK})
    EXPECT_EQ(pool.submit(try_socket, family, SOCK_DGRAM).get(), EACCES) << family;
  EXPECT_EQ(pool.submit(try_socket, AF_INET, SOCK_STREAM).get(), EACCES);
  EXPECT_EQ(pool.submit(try_socket, AF_UNIX, SOCK_STREAM).get(), 0);
  EXPECT_EQ(pool.submit([] {
                  int pair[2];
                  const int error = outcome(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
                  if (error == 0) ::close(pair[0]), ::close(pair[1]);
                  return error;
                })
                .get(),
            0);
  EXPECT_EQ(pool.submit(run_true).get(), 0) << "programs may be run";
  EXPECT_EQ(try_socket(AF_INET, SOCK_STREAM), 0) << "the owner is not limited";
}

TEST(WorkerLimits, without_network_there_is_no_way_round) {
  retinue::ProcessPool pool(limited({.network = false}));
  EXPECT_EQ(pool.submit([] { return outcome(::syscall(SYS_io_uring_setup, 1, nullptr)); }).get(), EPERM);
  EXPECT_EQ(pool.submit([] { return outcome(::ptrace(PTRACE_SEIZE, ::getppid(), nullptr, nullptr)); }).get(), EPERM);
  EXPECT_EQ(pool.submit([] { return outcome(::syscall(SYS_pidfd_getfd, -1, 0, 0)); }).get(), EPERM);
  EXPECT_EQ(pool.submit([] { return outcome(::syscall(SYS_process_vm_writev, 1, nullptr, 0, nullptr, 0, 0)); }).get(),
            EPERM);
#if defined(__x86_64__)
  EXPECT_EQ(pool.submit([] { return outcome(::syscall(0x40000000 | SYS_socket, AF_INET, SOCK_STREAM, 0)); }).get(),
            EPERM)
      << "x32";
#endif
  EXPECT_EQ(pool.submit([] {
                  int error = 0;
                  std::thread([&error] { error = try_socket(AF_INET, SOCK_STREAM); }).join();
                  return error;
                })
                .get(),
            EACCES)
      << "in a thread";
  EXPECT_EQ(pool.submit([] {
                  const pid_t child = ::fork();
                  if (child == 0) ::_exit(try_socket(AF_INET, SOCK_STREAM));
                  int status = 0;
                  ::waitpid(child, &status, 0);
                  return WEXITSTATUS(status);
                })
                .get(),
            EACCES)
      << "in a child";
}

TEST(WorkerLimits, the_initializer_is_not_limited_and_its_threads_are_afterwards) {
  retinue::ProcessPoolOptions options = limited({.open_files = 40, .network = false, .programs = false});
  static std::atomic<int> asked{0}, answer{-1};
  static int listener = -1;
  options.initializer = [] {
    if (open_many(60) != 0 || run_true() != 0) throw std::runtime_error("limited already");
    listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener, reinterpret_cast<sockaddr*>(&here), sizeof here) != 0) throw std::runtime_error("bind");
    std::thread([] {
      while (asked.load() == 0) nap();
      answer.store(try_socket(AF_INET, SOCK_STREAM));
    }).detach();
  };
  retinue::ProcessPool pool(options);
  EXPECT_EQ(pool.submit([] { return outcome(::listen(listener, 1)); }).get(), 0) << "what is open stays";
  EXPECT_EQ(pool.submit([] {
                  asked.store(1);
                  eventually([] { return answer.load() != -1; });
                  return answer.load();
                })
                .get(),
            EACCES);
}

TEST(WorkerLimits, without_programs_none_is_run) {
  retinue::ProcessPool pool(limited({.programs = false}));
  EXPECT_EQ(pool.submit(run_true).get(), EACCES);
  EXPECT_EQ(
      pool.submit([] { return outcome(::syscall(SYS_execveat, AT_FDCWD, "/bin/true", nullptr, nullptr, 0)); }).get(),
      EACCES);
  EXPECT_EQ(pool.submit(try_socket, AF_INET, SOCK_STREAM).get(), 0) << "the network may be reached";
}

TEST(WorkerLimits, replacements_have_them_too) {
  retinue::ProcessPool pool(limited({.network = false}));
  EXPECT_TRUE(death_of(pool, meet_signal, SIGKILL));
  EXPECT_EQ(pool.submit(try_socket, AF_INET, SOCK_STREAM).get(), EACCES);
}

TEST(WorkerLimits, a_pool_within_a_limited_task_works_and_is_limited) {
  retinue::ProcessPool pool(limited({.cpu_time = 100s, .open_files = 200, .network = false, .programs = false}));
  EXPECT_EQ(pool.submit([] {
                  retinue::ProcessPool inner(1);
                  return inner.submit(try_socket, AF_INET, SOCK_STREAM).get();
                })
                .get(),
            EACCES);
}

TEST(WorkerLimits, impossible_ones_are_refused_at_once) {
  EXPECT_THROW(retinue::ProcessPool(limited({.cpu_time = 0s})), retinue::Error);
  EXPECT_THROW(retinue::ProcessPool(limited({.cpu_time = -1s})), retinue::Error);
  EXPECT_THROW(retinue::ProcessPool(limited({.user = "root"})), retinue::Error);
  EXPECT_THROW(retinue::ProcessPool(limited({.user = "4294967295"})), retinue::Error) << "which changes nothing";
  const auto e = thrown_by<retinue::Error>([] { retinue::ProcessPool(limited({.user = "no such user"})); });
  ASSERT_TRUE(e);
  EXPECT_NE(std::string(e->what()).find("'no such user'"), std::string::npos) << e->what();
}

TEST(WorkerLimits, what_the_system_refuses_ends_the_pool_with_its_name) {
  for (const char* call : {"seccomp", "setrlimit", "prctl"}) {
    static const char* failing = nullptr;
    failing = call;
    retinue::ProcessPoolOptions options = limited({.open_files = 40, .network = false});
    options.initializer = [] {
      retinue::detail::set_fault_injector(
          [](const char* name) noexcept { return std::strcmp(name, failing) == 0 ? EPERM : 0; });
    };
    retinue::ProcessPool pool(options);
    const auto e = thrown_by<retinue::PoolClosed>([&] { pool.submit(square, 2).get(); });
    ASSERT_TRUE(e) << call;
    const std::string text = e->what();
    EXPECT_NE(text.find("limits of its workers cannot be set"), std::string::npos) << text;
    EXPECT_NE(text.find(call), std::string::npos) << text;
  }
}

class WorkerLimitsUser : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can change the user of its workers";
  }
};

TEST_F(WorkerLimitsUser, workers_run_as_that_user_without_privileges) {
  retinue::ProcessPool pool(limited({.user = "nobody"}, 2));
  const auto who = [] { return std::vector<unsigned>{::getuid(), ::geteuid(), ::getgid(), ::getegid()}; };
  const std::vector<unsigned> ids = pool.submit(who).get();
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_NE(ids[0], 0u);
  EXPECT_NE(ids[2], 0u);
  EXPECT_EQ(pool.submit([] { return outcome(::setuid(0)); }).get(), EPERM);
  EXPECT_EQ(pool.submit([] { return outcome(::open("/etc/shadow", O_RDONLY | O_CLOEXEC)); }).get(), EACCES);
  EXPECT_EQ(pool.submit([] {
                  const int n = ::getgroups(0, nullptr);
                  std::vector<gid_t> groups(static_cast<std::size_t>(n));
                  ::getgroups(n, groups.data());
                  return std::count(groups.begin(), groups.end(), gid_t{0});
                })
                .get(),
            0);
  EXPECT_EQ(pool.submit([] {
                  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
                  __user_cap_data_struct data[2] = {};
                  ::syscall(SYS_capget, &header, data);
                  return data[0].effective | data[0].permitted | data[0].inheritable | data[1].effective |
                         data[1].permitted;
                })
                .get(),
            0u);
  EXPECT_EQ(pool.submit([] {
                  int signal = 0;
                  ::prctl(PR_GET_PDEATHSIG, &signal);
                  return signal;
                })
                .get(),
            SIGKILL)
      << "it still dies with its pool";
}

TEST_F(WorkerLimitsUser, a_number_will_do_and_faults_are_reported_as_usual) {
  retinue::ProcessPool pool(limited({.user = "64999"}));
  EXPECT_EQ(pool.submit(::getuid).get(), 64999u);
  EXPECT_EQ(pool.submit(::getgid).get(), 64999u);
  EXPECT_TRUE(death_of(pool, meet_signal, SIGSEGV));
  EXPECT_THROW(pool.submit([] { throw Odd("odd"); }).get(), retinue::RemoteError);
  EXPECT_THROW(pool.with({.timeout = 20ms}).submit(spin_for_ever).get(), retinue::TaskTimeout);
  EXPECT_EQ(pool.submit([] { return std::vector<double>(1'000'000, 1.0); }).get().size(), 1'000'000u);
  EXPECT_EQ(pool.submit(::getuid).get(), 64999u);
}

TEST_F(WorkerLimitsUser, an_owner_that_may_not_is_refused_at_once) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setuid(64999) != 0) ::_exit(2);
    try {
      retinue::ProcessPool pool(limited({.user = "nobody"}));
      ::_exit(3);
    } catch (const retinue::Error& e) {
      ::_exit(std::strstr(e.what(), "only root") != nullptr ? 0 : 4);
    }
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(WorkerLimitsUser, the_users_workers_are_gone_soon_after_the_owner_was_killed) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    retinue::ProcessPool pool(limited({.user = "nobody"}, 2));
    std::vector<pid_t> pids = pool.worker_pids();
    pool.submit(::getpid).get();
    if (::write(pipe[1], pids.data(), 2 * sizeof(pid_t)) < 0) ::_exit(1);
    for (;;) ::pause();
  }
  pid_t workers[2] = {};
  ASSERT_EQ(::read(pipe[0], workers, sizeof workers), static_cast<ssize_t>(sizeof workers));
  std::set<pid_t> pids{workers[0], workers[1]};
  for (const pid_t server : fork_servers_of(child)) pids.insert(server);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(OwnTime::suffices(
      1s * kPatience, [&] { return pids; }, [&] { return is_gone(workers[0]) && is_gone(workers[1]); }));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace worker_limits_test
}  // namespace retinue_test
