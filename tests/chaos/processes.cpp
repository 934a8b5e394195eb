#include "processes.hpp"

#include <sys/syscall.h>
#include <unistd.h>

namespace retinue_chaos {
namespace {

/// Holds on to a process, so that its pid means nobody else.
class Held {
 public:
  explicit Held(pid_t pid) : fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool valid() const { return fd_ >= 0; }
  bool send(int signal) const { return ::syscall(SYS_pidfd_send_signal, fd_, signal, nullptr, 0) == 0; }

 private:
  int fd_;
};

}  // namespace

std::map<pid_t, ProcessInfo> descendants() { return retinue_test::descendants_of(::getpid()); }

bool signal_worker(pid_t pid, int signal) {
  const Held process(pid);
  if (!process.valid()) return false;
  const ProcessInfo worker = process_info(pid);
  return worker.alive() && process_info(worker.parent).parent == ::getpid() && process.send(signal);
}

bool signal_server_of(pid_t worker, int signal) {
  const pid_t pid = process_info(worker).parent;
  if (pid <= 1 || pid == ::getpid()) return false;
  const Held process(pid);
  if (!process.valid()) return false;
  const ProcessInfo server = process_info(pid);
  return server.alive() && server.parent == ::getpid() && process.send(signal);
}

}  // namespace retinue_chaos
