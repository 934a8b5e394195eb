// Pools whose workers close what they inherit.
#include "pool_tasks.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include "system/fault.hpp"

namespace process_pool_descriptors_test {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;

struct Pipe {
  Pipe() { EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0); }
  ~Pipe() {
    ::close(ends[0]);
    close_writer();
  }
  void close_writer() {
    if (ends[1] >= 0) ::close(ends[1]);
    ends[1] = -1;
  }
  /// Nobody can write to it any more; seen within `milliseconds`.
  bool ends_within(int milliseconds) const {
    pollfd p{ends[0], POLLIN, 0};
    return ::poll(&p, 1, milliseconds) == 1 && (p.revents & POLLHUP) != 0;
  }
  int ends[2] = {-1, -1};
};

ProcessPoolOptions closing(std::vector<int> kept = {}) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.close_descriptors = true;
  options.keep_descriptors = std::move(kept);
  return options;
}

/// 0, or the errno of a write of one byte.
int write_to(int fd) { return ::write(fd, "x", 1) == 1 ? 0 : errno; }

TEST(ProcessPool, a_pipe_that_workers_inherit_ends_with_its_owners_end_only_if_they_close_it) {
  Pipe held;
  ProcessPool usual(2);
  Pipe closed;  // which `usual` does not know
  ProcessPool pool(closing());
  held.close_writer();
  closed.close_writer();
  EXPECT_TRUE(closed.ends_within(0));
  EXPECT_FALSE(held.ends_within(0));
}

TEST(ProcessPool, a_port_is_free_again_when_its_owner_has_closed_it) {
  const auto listen_at = [](in_port_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = port;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 || ::listen(fd, 1) != 0) {
      ::close(fd);
      return -1;
    }
    return fd;
  };
  const int fd = listen_at(0);
  ASSERT_GE(fd, 0);
  sockaddr_in at{};
  socklen_t length = sizeof at;
  ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &length), 0);
  ProcessPool pool(closing());
  EXPECT_EQ(listen_at(at.sin_port), -1) << "it is taken";
  ::close(fd);
  const int again = listen_at(at.sin_port);
  EXPECT_GE(again, 0) << std::strerror(errno);
  ::close(again);
}

TEST(ProcessPool, a_descriptor_that_is_to_be_kept_is_kept_also_by_a_worker_that_replaces_another) {
  Pipe kept, closed;
  ProcessPool pool(closing({kept.ends[1]}));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(pool.submit(write_to, kept.ends[1]).get(), 0);
    EXPECT_EQ(pool.submit(write_to, closed.ends[1]).get(), EBADF);
    EXPECT_EQ(pool.submit([] { return ::write(STDERR_FILENO, "", 0); }).get(), 0);
    if (round == 0) death_of(pool, meet_signal, SIGKILL);
  }
}

TEST(ProcessPool, the_number_of_a_closed_descriptor_is_no_other_file) {
  Pipe closed;
  ProcessPool pool(closing());
  const auto open_and_write = [](int number) {
    const int fd = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    const bool other = fd >= 0 && fd != number && ::write(number, "x", 1) == -1 && errno == EBADF;
    ::close(number);
    return other && ::write(fd, "x", 1) == 1 && ::close(fd) == 0;
  };
  EXPECT_TRUE(pool.submit(open_and_write, closed.ends[0]).get());
  EXPECT_TRUE(pool.submit(open_and_write, closed.ends[1]).get());
}

TEST(ProcessPool, what_an_initializer_opens_is_there_for_the_tasks_and_large_data_travels) {
  static int opened = -1;
  ProcessPoolOptions options = closing();
  options.initializer = [] { opened = ::open("/dev/null", O_WRONLY | O_CLOEXEC); };
  ProcessPool pool(options);
  EXPECT_EQ(pool.submit([] { return write_to(opened); }).get(), 0);
  const std::string large(5'000'000, 'a');
  EXPECT_EQ(pool.submit([](const std::string& text) { return text; }, large).get(), large);
}

TEST(ProcessPool, a_pool_whose_descriptors_cannot_be_listed_is_not_made) {
  retinue::detail::set_fault_injector(
      [](const char* call) noexcept { return std::strcmp(call, "getdents64") == 0 ? ENOENT : 0; });
  const auto e = thrown_by<retinue::Error>([] { ProcessPool pool(closing()); });
  retinue::detail::set_fault_injector(nullptr);
  ASSERT_TRUE(e);
  EXPECT_NE(std::string(e->what()).find("/proc/self/fd"), std::string::npos) << e->what();
}

}  // namespace process_pool_descriptors_test
