#include "call_filter.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <string>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

#include <retinue/error.hpp>

#include "calls.hpp"
#include "fd.hpp"

namespace retinue::detail {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kMachine = 0;
#endif

constexpr std::uint32_t refuse(int error_number) noexcept {
  return SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(error_number) & SECCOMP_RET_DATA);
}

/// Writes the filter's program: what is not refused is allowed.
class Program {
 public:
  Program() {
    load(offsetof(seccomp_data, arch));
    // Calls in the manner of another machine (32-bit programs) have other numbers.
    unless(BPF_JEQ, kMachine, refuse(EPERM));
    load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
    when(BPF_JGE, 0x4000'0000, refuse(EPERM));  // x32
#endif
  }
  void refuse_call(long number, int error_number) {
    when(BPF_JEQ, static_cast<std::uint32_t>(number), refuse(error_number));
  }
  /// socket(), but for families of the same machine.
  void refuse_sockets() {
    add(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4);
    load(offsetof(seccomp_data, args));  // its lower half: both machines are little-endian
    when(BPF_JEQ, AF_UNIX, SECCOMP_RET_ALLOW);
    add(BPF_RET | BPF_K, refuse(EACCES));
  }
  sock_fprog finish() {
    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return {static_cast<unsigned short>(steps_.size()), steps_.data()};
  }

 private:
  void add(unsigned code, std::uint32_t value, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
    steps_.push_back({static_cast<std::uint16_t>(code), if_true, if_false, value});
  }
  void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
  void when(unsigned test, std::uint32_t value, std::uint32_t answer) {
    add(BPF_JMP | test | BPF_K, value, 0, 1);
    add(BPF_RET | BPF_K, answer);
  }
  void unless(unsigned test, std::uint32_t value, std::uint32_t answer) {
    add(BPF_JMP | test | BPF_K, value, 1, 0);
    add(BPF_RET | BPF_K, answer);
  }

  std::vector<sock_filter> steps_;
};

// What could reach a network without socket(): through the kernel's queues, or through another process.
constexpr long kWaysRound[] = {
    SYS_io_uring_setup,   SYS_io_uring_enter,    SYS_io_uring_register, SYS_ptrace,
    SYS_process_vm_readv, SYS_process_vm_writev, SYS_pidfd_getfd,
};

}  // namespace

bool has_call_filter() noexcept { return kMachine != 0; }

void filter_calls(bool no_network, bool no_programs) {
  Program program;
  if (no_programs)
    for (const long call : {long{SYS_execve}, long{SYS_execveat}}) program.refuse_call(call, EACCES);
  if (no_network) {
    for (const long call : kWaysRound) program.refuse_call(call, EPERM);
    program.refuse_sockets();
  }
  sock_fprog code = program.finish();
  const long result = sys::seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &code);
  if (result > 0)
    throw Error("seccomp: thread " + std::to_string(result) +
                " of the worker has a filter of its own, so the worker cannot have one");
  if (result < 0) throw_call_failed("seccomp", errno, "a filter of system calls");
}

}  // namespace retinue::detail
