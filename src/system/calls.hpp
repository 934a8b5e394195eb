// The system calls of the engine. Each does what the C library's of the same name does, errno included, unless a test
// makes it fail (fault.hpp). Files elsewhere make no such call but through these; a test looks for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>

struct robust_list_head;  // linux/futex.h

namespace retinue::detail::sys {

// Files and descriptors
int open(const char* path, int flags, mode_t mode = 0) noexcept;
ssize_t read(int fd, void* into, std::size_t bytes) noexcept;
ssize_t pread(int fd, void* into, std::size_t bytes, off_t offset) noexcept;
ssize_t pwrite(int fd, const void* from, std::size_t bytes, off_t offset) noexcept;
int fcntl(int fd, int command, int argument) noexcept;
int fstat(int fd, struct stat* file) noexcept;
int stat(const char* path, struct stat* file) noexcept;
int fchmod(int fd, mode_t mode) noexcept;
int ftruncate(int fd, off_t length) noexcept;
/// "punch_hole" to injectors where it frees memory rather than reserves some.
int fallocate(int fd, int mode, off_t offset, off_t length) noexcept;
int memfd_create(const char* name, unsigned flags) noexcept;
int dup3(int fd, int number, int flags) noexcept;
ssize_t getdents64(int fd, void* into, std::size_t bytes) noexcept;

// Memory
void* mmap(void* wish, std::size_t bytes, int protection, int flags, int fd, off_t offset) noexcept;
int mprotect(void* from, std::size_t bytes, int protection) noexcept;
int madvise(void* from, std::size_t bytes, int advice) noexcept;
/// FUTEX_WAIT_BITSET, shared between processes.
long futex_wait(std::uint32_t* word, std::uint32_t expected, const timespec* deadline, std::uint32_t bitset) noexcept;
long set_robust_list(struct robust_list_head* list, std::size_t bytes) noexcept;

// Processes and threads
pid_t fork() noexcept;
int execv(const char* path, char* const* arguments) noexcept;
int kill(pid_t pid, int signal) noexcept;
int tgkill(pid_t process, pid_t thread, int signal) noexcept;
pid_t waitpid(pid_t pid, int* status, int options) noexcept;
int waitid(idtype_t what, id_t id, siginfo_t* info, int options) noexcept;
int prctl(int option, unsigned long argument) noexcept;
int setrlimit(int resource, const rlimit* limit) noexcept;
int setgroups(std::size_t count, const gid_t* groups) noexcept;
int setresgid(gid_t real, gid_t effective, gid_t saved) noexcept;
int setresuid(uid_t real, uid_t effective, uid_t saved) noexcept;
long seccomp(unsigned operation, unsigned flags, void* argument) noexcept;
int sched_getaffinity(pid_t pid, std::size_t bytes, cpu_set_t* set) noexcept;
int sigaction(int signal, const struct sigaction* action, struct sigaction* before) noexcept;
int sigaltstack(const stack_t* stack, stack_t* before) noexcept;
/// These two return the errno, as the C library's do.
int pthread_sigmask(int how, const sigset_t* set, sigset_t* before) noexcept;
int pthread_create(pthread_t* thread, void* (*body)(void*), void* argument) noexcept;

}  // namespace retinue::detail::sys
