#include "calls.hpp"

#include <cerrno>
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.hpp"

namespace retinue::detail::sys {
namespace {

bool fails(const char* call) noexcept {
  const int error_number = injected_fault(call);
  if (error_number == 0) return false;
  errno = error_number;
  return true;
}

}  // namespace

int open(const char* path, int flags, mode_t mode) noexcept { return fails("open") ? -1 : ::open(path, flags, mode); }
ssize_t read(int fd, void* into, std::size_t bytes) noexcept { return fails("read") ? -1 : ::read(fd, into, bytes); }
ssize_t pread(int fd, void* into, std::size_t bytes, off_t offset) noexcept {
  return fails("pread") ? -1 : ::pread(fd, into, bytes, offset);
}
ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t offset) noexcept {
  return fails("pwrite") ? -1 : ::pwrite(fd, from, bytes, offset);
}
int fcntl(int fd, int command, int argument) noexcept { return fails("fcntl") ? -1 : ::fcntl(fd, command, argument); }
int fstat(int fd, struct stat* file) noexcept { return fails("fstat") ? -1 : ::fstat(fd, file); }
int stat(const char* path, struct stat* file) noexcept { return fails("stat") ? -1 : ::stat(path, file); }
int fchmod(int fd, mode_t mode) noexcept { return fails("fchmod") ? -1 : ::fchmod(fd, mode); }
int ftruncate(int fd, off_t length) noexcept { return fails("ftruncate") ? -1 : ::ftruncate(fd, length); }
int fallocate(int fd, int mode, off_t offset, off_t length) noexcept {
  const bool frees_pages = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  return fails(frees_pages ? "punch_hole" : "fallocate") ? -1 : ::fallocate(fd, mode, offset, length);
}
int memfd_create(const char* name, unsigned flags) noexcept {
  return fails("memfd_create") ? -1 : ::memfd_create(name, flags);
}
int dup3(int fd, int number, int flags) noexcept { return fails("dup3") ? -1 : ::dup3(fd, number, flags); }
ssize_t getdents64(int fd, void* into, std::size_t bytes) noexcept {
  return fails("getdents64") ? -1 : ::getdents64(fd, into, bytes);
}

void* mmap(void* wish, std::size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  return fails("mmap") ? MAP_FAILED : ::mmap(wish, bytes, protection, flags, fd, offset);
}
int mprotect(void* from, std::size_t bytes, int protection) noexcept {
  return fails("mprotect") ? -1 : ::mprotect(from, bytes, protection);
}
int madvise(void* from, std::size_t bytes, int advice) noexcept {
  return fails("madvise") ? -1 : ::madvise(from, bytes, advice);
}
long futex_wait(std::uint32_t* word, std::uint32_t expected, const timespec* deadline, std::uint32_t bitset) noexcept {
  if (fails("futex_wait")) return -1;
  // No FUTEX_PRIVATE_FLAG: the sleeper and the waker are different processes.
  return ::syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, deadline, nullptr, bitset);
}
long set_robust_list(robust_list_head* list, std::size_t bytes) noexcept {
  return fails("set_robust_list") ? -1 : ::syscall(SYS_set_robust_list, list, bytes);
}

pid_t fork() noexcept { return fails("fork") ? -1 : ::fork(); }
int execv(const char* path, char* const* arguments) noexcept { return fails("execv") ? -1 : ::execv(path, arguments); }
int kill(pid_t pid, int signal) noexcept { return fails("kill") ? -1 : ::kill(pid, signal); }
int tgkill(pid_t process, pid_t thread, int signal) noexcept {
  return fails("tgkill") ? -1 : static_cast<int>(::syscall(SYS_tgkill, process, thread, signal));
}
pid_t waitpid(pid_t pid, int* status, int options) noexcept {
  return fails("waitpid") ? -1 : ::waitpid(pid, status, options);
}
int waitid(idtype_t what, id_t id, siginfo_t* info, int options) noexcept {
  return fails("waitid") ? -1 : ::waitid(what, id, info, options);
}
int prctl(int option, unsigned long argument) noexcept {
  return fails("prctl") ? -1 : ::prctl(option, argument, 0UL, 0UL, 0UL);
}
int setrlimit(int resource, const rlimit* limit) noexcept {
  return fails("setrlimit") ? -1 : ::setrlimit(static_cast<__rlimit_resource_t>(resource), limit);
}
int setgroups(std::size_t count, const gid_t* groups) noexcept {
  return fails("setgroups") ? -1 : ::setgroups(count, groups);
}
int setresgid(gid_t real, gid_t effective, gid_t saved) noexcept {
  return fails("setresgid") ? -1 : ::setresgid(real, effective, saved);
}
int setresuid(uid_t real, uid_t effective, uid_t saved) noexcept {
  return fails("setresuid") ? -1 : ::setresuid(real, effective, saved);
}
long seccomp(unsigned operation, unsigned flags, void* argument) noexcept {
  return fails("seccomp") ? -1 : ::syscall(SYS_seccomp, operation, flags, argument);
}
int sched_getaffinity(pid_t pid, std::size_t bytes, cpu_set_t* set) noexcept {
  return fails("sched_getaffinity") ? -1 : ::sched_getaffinity(pid, bytes, set);
}
int sigaction(int signal, const struct sigaction* action, struct sigaction* before) noexcept {
  return fails("sigaction") ? -1 : ::sigaction(signal, action, before);
}
int sigaltstack(const stack_t* stack, stack_t* before) noexcept {
  return fails("sigaltstack") ? -1 : ::sigaltstack(stack, before);
}
int pthread_sigmask(int how, const sigset_t* set, sigset_t* before) noexcept {
  return fails("pthread_sigmask") ? errno : ::pthread_sigmask(how, set, before);
}
int pthread_create(pthread_t* thread, void* (*body)(void*), void* argument) noexcept {
  return fails("pthread_create") ? errno : ::pthread_create(thread, nullptr, body, argument);
}

}  // namespace retinue::detail::sys
