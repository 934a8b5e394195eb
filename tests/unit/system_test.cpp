// The wrappers of src/system: futex, doorbells, memfd, what is known of processes.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include <retinue/error.hpp>

#include "system/doorbell.hpp"
#include "system/fault.hpp"
#include "system/fd.hpp"
#include "system/futex.hpp"
#include "system/liveness_doorbell.hpp"
#include "system/memfd.hpp"
#include "system/process_state.hpp"

namespace system_test {

using namespace std::chrono_literals;
using retinue::detail::Doorbell;
using retinue::detail::LivenessDoorbell;
using retinue::detail::ProcessState;
using retinue::detail::UniqueFd;
namespace detail = retinue::detail;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1 << 20;

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

void reap(pid_t pid) {
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const retinue::Error& e) {
    return e.what();
  }
  return "";
}

// One word of memory that a child sees too.
struct SharedWord {
  SharedWord()
      : at(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        word(*new(at) std::atomic<std::uint32_t>(0)) {}
  ~SharedWord() { ::munmap(at, 4096); }
  void* at;
  std::atomic<std::uint32_t>& word;
};

TEST(UniqueFd, closes_what_it_holds_exactly_once) {
  const int raw = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  {
    UniqueFd a(raw);
    UniqueFd b(std::move(a));
    EXPECT_FALSE(a);
    EXPECT_EQ(b.get(), raw);
    a = std::move(b);
    EXPECT_TRUE(is_open(raw));
  }
  EXPECT_FALSE(is_open(raw));
}

TEST(UniqueFd, released_descriptors_stay_open) {
  UniqueFd a(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int raw = a.release();
  a.reset();
  EXPECT_TRUE(is_open(raw));
  ::close(raw);
}

TEST(Futex, a_wait_past_its_deadline_says_so) {
  std::atomic<std::uint32_t> word{1};
  const auto start = Clock::now();
  EXPECT_FALSE(detail::futex_wait(word, 1, 1, start + 20ms));
  EXPECT_GE(Clock::now() - start, 20ms);
  EXPECT_FALSE(detail::futex_wait(word, 1, 1, start));                   // already past
  EXPECT_FALSE(detail::futex_wait(word, 1, 1, Clock::time_point{-5s}));  // before the epoch
}

TEST(Futex, a_word_that_differs_does_not_sleep) {
  std::atomic<std::uint32_t> word{2};
  EXPECT_TRUE(detail::futex_wait(word, 1, 1, std::nullopt));
  EXPECT_TRUE(detail::futex_wait(word, 1, 1, Clock::time_point::max()));
}

TEST(Futex, another_process_wakes_the_sleeper) {
  SharedWord shared;
  const pid_t child = ::fork();
  if (child == 0) {
    ::usleep(20'000);
    shared.word.store(1);
    detail::futex_wake(shared.word, 1);
    ::_exit(0);
  }
  const auto deadline = Clock::now() + 10s;
  while (shared.word.load() == 0) ASSERT_TRUE(detail::futex_wait(shared.word, 0, ~0U, deadline));
  reap(child);
}

TEST(Futex, a_wake_reaches_only_sleepers_whose_bits_meet_its_own) {
  std::atomic<std::uint32_t> word{0};
  bool woken = true;
  std::thread sleeper([&] { woken = detail::futex_wait(word, 0, 0b01, Clock::now() + 100ms); });
  const auto until = Clock::now() + 60ms;
  while (Clock::now() < until) {
    detail::futex_wake(word, 0b10);
    std::this_thread::sleep_for(5ms);
  }
  sleeper.join();
  EXPECT_FALSE(woken);
}

/// A T in memory that forked children share.
template <class T>
class Shared {
 public:
  Shared() : at_(::new(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) T) {}
  ~Shared() { ::munmap(at_, sizeof(T)); }
  T* operator->() const { return at_; }
  T& operator*() const { return *at_; }

 private:
  T* at_;
};

TEST(Doorbell, many_rings_are_drained_as_one) {
  Doorbell doorbell;
  EXPECT_FALSE(doorbell.drain());
  for (int i = 0; i < 3; ++i) doorbell.ring();
  doorbell.wait(std::nullopt);
  EXPECT_TRUE(doorbell.drain());
  EXPECT_FALSE(doorbell.drain());
}

TEST(Doorbell, wakes_a_sleeper_in_another_process) {
  const Shared<Doorbell> doorbell;
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    while (!doorbell->drain()) doorbell->wait(std::nullopt);
    ::_exit(0);
  }
  while (ProcessState::of(child).state() != 'S') std::this_thread::sleep_for(1ms);
  errno = ENOENT;
  doorbell->ring();
  EXPECT_EQ(errno, ENOENT);
  reap(child);
}

/// Forks a process that waits until the doorbell's holder has ended, and then exits with 0.
pid_t fork_listener(LivenessDoorbell& doorbell) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::alarm(20);
  while (!doorbell.holder_ended()) {
    doorbell.drain();
    doorbell.wait(std::nullopt);
  }
  ::_exit(0);
}

void expect_woken(pid_t listener) {
  int status = 0;
  ASSERT_EQ(::waitpid(listener, &status, 0), listener);
  EXPECT_EQ(status, 0);
}

TEST(LivenessDoorbell, is_rung_by_the_kernel_when_its_holder_is_killed) {
  const Shared<LivenessDoorbell> doorbell;
  const pid_t holder = ::fork();
  if (holder == 0) {
    const LivenessDoorbell::Hold hold(*doorbell);
    for (;;) ::pause();
  }
  const pid_t listener = fork_listener(*doorbell);
  while (doorbell->holder() != holder || ProcessState::of(listener).state() != 'S') std::this_thread::sleep_for(1ms);
  ::kill(holder, SIGKILL);
  reap(holder);
  expect_woken(listener);
}

TEST(LivenessDoorbell, is_rung_by_the_kernel_when_another_thread_of_its_process_execs) {
  const Shared<LivenessDoorbell> doorbell;
  const pid_t listener = fork_listener(*doorbell);
  const pid_t holder = ::fork();
  if (holder == 0) {
    std::thread([&] {
      const LivenessDoorbell::Hold hold(*doorbell);
      for (;;) ::pause();
    }).detach();
    while (doorbell->holder() == 0) std::this_thread::sleep_for(1ms);
    ::execl("/bin/sleep", "sleep", "20", static_cast<char*>(nullptr));
    ::_exit(1);
  }
  expect_woken(listener);
  ::kill(holder, SIGKILL);
  reap(holder);
}

TEST(LivenessDoorbell, is_not_rung_by_children_of_its_holder) {
  LivenessDoorbell doorbell;
  const LivenessDoorbell::Hold hold(doorbell);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  reap(child);
  const pid_t other = ::vfork();
  if (other == 0) ::execl("/bin/true", "true", static_cast<char*>(nullptr));
  reap(other);
  EXPECT_FALSE(doorbell.holder_ended());
  EXPECT_EQ(doorbell.holder(), ::getpid());
}

TEST(LivenessDoorbell, has_no_holder_once_it_is_released) {
  LivenessDoorbell doorbell;
  std::thread([&] { const LivenessDoorbell::Hold hold(doorbell); }).join();
  EXPECT_FALSE(doorbell.holder_ended());
  EXPECT_EQ(doorbell.holder(), 0);
}

TEST(LivenessDoorbell, a_ring_before_the_sleep_is_not_missed) {
  LivenessDoorbell doorbell;
  doorbell.drain();
  doorbell.ring();
  doorbell.wait(std::nullopt);
}

TEST(LivenessDoorbell, what_is_written_over_it_is_repaired) {
  LivenessDoorbell doorbell;
  const LivenessDoorbell::Hold hold(doorbell);
  const pid_t holder = doorbell.holder();
  std::memset(static_cast<void*>(&doorbell), 0x5f, sizeof doorbell);
  doorbell.restore(holder);
  EXPECT_EQ(doorbell.holder(), holder);
  EXPECT_FALSE(doorbell.holder_ended());
}

TEST(ProcessState, tells_a_stopped_process_from_a_dead_one) {
  const pid_t child = ::fork();
  if (child == 0)
    for (;;) ::pause();
  ::kill(child, SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  EXPECT_EQ(ProcessState::of(child).state(), 'T');
  EXPECT_EQ(ProcessState::of(child).name(), ProcessState::of(::getpid()).name());
  EXPECT_FALSE(ProcessState::of(child).name().empty());
  ::kill(child, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(ProcessState::of(child).state(), 'Z');
  reap(child);
  EXPECT_EQ(ProcessState::of(child).state(), '\0');
}

#if !defined(__SANITIZE_THREAD__)  // its runtime has a thread of its own in each process
TEST(ProcessState, knows_whether_this_thread_is_alone) {
  const pid_t child = ::fork();  // which has one thread whatever the test program has
  if (child == 0) {
    ::alarm(20);
    bool alone_beside_another = true;
    const bool alone = retinue::detail::is_only_thread();
    std::thread([&] { alone_beside_another = retinue::detail::is_only_thread(); }).join();
    ::_exit(alone && !alone_beside_another ? 0 : 1);
  }
  expect_woken(child);
}
#endif

TEST(Memfd, cannot_be_shrunk_but_grows) {
  const UniqueFd fd = detail::create_memfd("retinue-test");
  EXPECT_TRUE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
  ASSERT_EQ(::ftruncate(fd.get(), 2 * kMiB), 0);
  EXPECT_NE(::ftruncate(fd.get(), kMiB), 0);
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(::ftruncate(fd.get(), 4 * kMiB), 0);
}

TEST(Memfd, reserved_bytes_have_pages_and_keep_what_they_held) {
  const UniqueFd fd = detail::create_memfd("retinue-test");
  ASSERT_EQ(::pwrite(fd.get(), "kept", 4, 100), 4);
  detail::reserve(fd.get(), 0, 3 * kMiB + 1);
  detail::reserve(fd.get(), kMiB, 0);
  struct stat st{};
  ASSERT_EQ(::fstat(fd.get(), &st), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(st.st_size), 3 * kMiB + 1);
  EXPECT_GE(static_cast<std::uint64_t>(st.st_blocks) * 512, 3 * kMiB);
  char held[4];
  ASSERT_EQ(::pread(fd.get(), held, 4, 100), 4);
  EXPECT_EQ(std::memcmp(held, "kept", 4), 0);
}

TEST(Memfd, a_punched_hole_frees_whole_pages_and_reads_as_zero) {
  const UniqueFd fd = detail::create_memfd("retinue-test");
  detail::reserve(fd.get(), 0, 4 * kMiB);
  ASSERT_EQ(::pwrite(fd.get(), "x", 1, 2 * kMiB), 1);
  ASSERT_EQ(::pwrite(fd.get(), "y", 1, kMiB), 1);
  detail::punch_hole(fd.get(), kMiB + 1, 3 * kMiB - 1);
  struct stat st{};
  ASSERT_EQ(::fstat(fd.get(), &st), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(st.st_size), 4 * kMiB);
  EXPECT_LE(static_cast<std::uint64_t>(st.st_blocks) * 512, 2 * kMiB);
  char byte = 1;
  ASSERT_EQ(::pread(fd.get(), &byte, 1, 2 * kMiB), 1);
  EXPECT_EQ(byte, 0);
  ASSERT_EQ(::pread(fd.get(), &byte, 1, kMiB), 1);
  EXPECT_EQ(byte, 'y');
  detail::punch_hole(fd.get(), 1, 100);  // no whole page: nothing to do
}

TEST(Memfd, more_than_the_machine_has_is_an_exception_with_the_number) {
  const UniqueFd fd = detail::create_memfd("retinue-test");
  const std::string text = message_of([&] { detail::reserve(fd.get(), 0, std::uint64_t{1} << 50); });
  EXPECT_NE(text.find("1125899906842624 bytes"), std::string::npos) << text;
  EXPECT_NE(text.find("errno 12"), std::string::npos) << text;
  EXPECT_THROW(detail::reserve(fd.get(), ~std::uint64_t{0} - 5, 100), retinue::ResourceExhausted);
}

TEST(Memfd, the_file_size_limit_is_an_exception_and_no_signal) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit limit{kMiB, kMiB};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const UniqueFd fd = detail::create_memfd("retinue-test");
    try {
      detail::reserve(fd.get(), 0, kMiB);
      detail::reserve(fd.get(), kMiB, 1);
    } catch (const retinue::ResourceExhausted& e) {
      ::_exit(e.error_number() == EFBIG ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Memfd, a_steady_ticking_of_signals_does_not_keep_a_reservation_from_ending) {
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) {};
  ASSERT_EQ(::sigaction(SIGALRM, &action, &before), 0);
  const itimerval tick{{0, 2000}, {0, 2000}};
  ASSERT_EQ(::setitimer(ITIMER_REAL, &tick, nullptr), 0);
  const UniqueFd fd = detail::create_memfd("retinue-test");
  detail::reserve(fd.get(), 0, 64 * kMiB);
  const itimerval stop{};
  ::setitimer(ITIMER_REAL, &stop, nullptr);
  ::sigaction(SIGALRM, &before, nullptr);
  struct stat st{};
  ASSERT_EQ(::fstat(fd.get(), &st), 0);
  EXPECT_GE(static_cast<std::uint64_t>(st.st_blocks) * 512, 64 * kMiB);
}

struct Injected {
  explicit Injected(detail::FaultInjector f) { detail::set_fault_injector(f); }
  ~Injected() { detail::set_fault_injector(nullptr); }
};

TEST(FaultInjection, every_wrapper_turns_an_injected_errno_into_an_exception_that_names_its_call) {
  const Injected injected([](const char*) noexcept { return EMFILE; });
  EXPECT_NE(message_of([] { detail::create_memfd("x"); }).find("memfd_create(\"x\")"), std::string::npos);
  EXPECT_NE(message_of([] { detail::reserve(-1, 0, 1); }).find("fallocate("), std::string::npos);
  EXPECT_THROW(detail::create_memfd("x"), retinue::ResourceExhausted);
}

TEST(FaultInjection, an_errno_that_is_no_shortage_is_a_plain_error) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  try {
    detail::reserve(null.get(), 0, 1);
    FAIL();
  } catch (const retinue::ResourceExhausted&) {
    FAIL();
  } catch (const retinue::Error& e) {
    EXPECT_NE(std::string(e.what()).find("fallocate(fd "), std::string::npos) << e.what();
  }
}

}  // namespace system_test
