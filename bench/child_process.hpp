// A bare child process, and pipes to it: what one would write without a library.
#pragma once

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <system_error>
#include <type_traits>
#include <unistd.h>
#include <utility>

namespace bench {

[[noreturn]] inline void call_failed(const char* call) {
  throw std::system_error(errno, std::generic_category(), call);
}

/// A forked child that runs `f` and exits; killed and reaped by the destructor. Dies with its parent.
class Child {
 public:
  template <class F>
  explicit Child(F&& f) {
    std::cout.flush();
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) call_failed("fork");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      std::forward<F>(f)();
      ::_exit(0);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      reap();
    }
  }
  pid_t pid() const noexcept { return pid_; }
  void reap() {
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
};

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_) != 0) call_failed("pipe");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  int in() const noexcept { return ends_[1]; }
  int out() const noexcept { return ends_[0]; }
  /// So that the end of the stream is seen here once a child, which has an end of its own for writing, is gone.
  void close_in() noexcept {
    ::close(ends_[1]);
    ends_[1] = -1;
  }

  void write_all(const void* data, std::size_t bytes) const {
    for (const char* at = static_cast<const char*>(data); bytes > 0;) {
      const ssize_t n = ::write(ends_[1], at, bytes);
      if (n < 0 && errno != EINTR) call_failed("write");
      if (n > 0) at += n, bytes -= static_cast<std::size_t>(n);
    }
  }
  /// False at the end of the stream.
  bool read_all(void* data, std::size_t bytes) const {
    for (char* at = static_cast<char*>(data); bytes > 0;) {
      const ssize_t n = ::read(ends_[0], at, bytes);
      if (n == 0) return false;
      if (n < 0 && errno != EINTR) call_failed("read");
      if (n > 0) at += n, bytes -= static_cast<std::size_t>(n);
    }
    return true;
  }
  template <class T>
  void send(const T& value) const {
    static_assert(std::is_trivially_copyable_v<T>);
    write_all(&value, sizeof value);
  }
  template <class T>
  T receive() const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    if (!read_all(&value, sizeof value)) throw std::runtime_error("a child went away");
    return value;
  }

 private:
  int ends_[2];
};

/// A T in memory shared with every child forked afterwards.
template <class T>
class Shared {
 public:
  Shared() {
    void* memory = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) call_failed("mmap");
    value_ = new (memory) T();
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() { ::munmap(value_, sizeof(T)); }
  T& operator*() const noexcept { return *value_; }
  T* operator->() const noexcept { return value_; }

 private:
  T* value_;
};

}  // namespace bench
