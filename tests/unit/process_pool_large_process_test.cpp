// Pools of a process with much memory, where each fork takes long: the last worker comes when it is needed or a little
// later, and the fork server gives its memory back while the workers leave.
#include "pool_tasks.hpp"

#include <random>
#include <sys/mman.h>
#include <thread>
#include <vector>

#include "processes/inherited_memory.hpp"

namespace process_pool_large_process_test {

using namespace retinue_test;
using retinue::PoolClosed;
using retinue::ProcessPool;
using retinue::WorkerDied;
namespace detail = retinue::detail;

constexpr std::size_t kMuch = std::size_t{160} << 20;

/// Private memory that makes its process a large one, in which workers can see what they have inherited.
class Ballast {
 public:
  explicit Ballast(std::size_t bytes = kMuch) : bytes_(bytes) {
    void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<char*>(memory);
    for (std::size_t i = 0; i < bytes; i += 4096) data_[i] = 7;
  }
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;
  ~Ballast() { ::munmap(data_, bytes_); }

  const char* data() const { return data_; }
  char operator[](std::size_t i) const { return data_[i]; }

 private:
  std::size_t bytes_;
  char* data_;
};

std::size_t workers_alive(const ProcessPool& pool) { return pool.stats().workers_alive; }

TEST(ProcessPool, the_last_worker_of_a_large_process_comes_without_being_asked_for) {
  const Ballast ballast;
  ASSERT_GE(detail::own_private_memory(), kMuch);
  ProcessPool pool(3);
  EXPECT_EQ(pool.workers(), 3u);
  EXPECT_TRUE(eventually([&] { return workers_alive(pool) == 3; }));
  EXPECT_EQ(pool.submit(square, 3).get(), 9);
}

TEST(ProcessPool, who_asks_for_the_workers_of_a_large_process_gets_all) {
  const Ballast ballast;
  for (int i = 0; i < 5; ++i) {
    ProcessPool pool(2);
    EXPECT_EQ(pool.worker_pids().size(), 2u);
  }
}

TEST(ProcessPool, tasks_that_need_every_worker_of_a_large_process_have_it) {
  const Ballast ballast;
  for (const unsigned workers : {2u, 3u}) {
    HeldPool held(workers);
    EXPECT_TRUE(eventually([&] { return workers_alive(held.pool) == workers; }));
    held.open();
    board().gate.store(0);
    board().at_gate.store(0);
  }
}

TEST(ProcessPool, a_pool_of_one_in_a_large_process_has_its_worker_at_once) {
  const Ballast ballast;
  ProcessPool pool(1);
  EXPECT_EQ(pool.stats().workers_alive, 1u);
  EXPECT_EQ(pool.submit(square, 5).get(), 25);
}

TEST(ProcessPool, replaced_workers_of_a_large_process_see_what_it_was) {
  const Ballast ballast;
  const auto look = [data = reinterpret_cast<std::uintptr_t>(ballast.data())](std::size_t at) {
    return static_cast<int>(reinterpret_cast<const char*>(data)[at]);
  };
  ProcessPool pool(2);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THROW(pool.submit(meet_signal, SIGKILL).get(), WorkerDied);
    EXPECT_EQ(pool.submit(look, kMuch / 2).get(), 7);
  }
  EXPECT_TRUE(eventually([&] { return workers_alive(pool) == 2; }));
}

TEST(ProcessPool, pools_of_a_large_process_that_end_at_once_leave_nothing) {
  const ChildEnd end = in_child([] {
    const Ballast ballast;
    for (int i = 0; i < 12; ++i) {
      ProcessPool pool(2);
      if (i % 3 != 0) DEMAND(pool.submit(square, i).get() == i * i);
      if (i % 2 == 0) pool.terminate();
      else pool.shutdown();
      DEMAND(descendants_of(::getpid()).empty());
      DEMAND(pool.stats().workers_died == 0 || i % 2 == 0);
    }
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
  EXPECT_TRUE(end.alone) << end;
}

// At whatever step of the start, the work and the end.
TEST(ProcessPool, a_large_process_whose_owner_is_killed_at_any_moment_leaves_nobody) {
  std::minstd_rand random(7);
  for (int round = 0; round < 8; ++round) {
    const auto after = std::chrono::microseconds(random() % 60'000);
    const ChildEnd end = in_child([after] {
      const Ballast ballast;
      std::thread([after] {
        std::this_thread::sleep_for(after);
        ::kill(::getpid(), SIGKILL);
      }).detach();
      for (int i = 0;; ++i) {
        ProcessPool pool(2);
        DEMAND(pool.submit(square, i % 100).get() == i % 100 * (i % 100));
      }
      return 0;
    });
    EXPECT_TRUE(end.died_of(SIGKILL)) << end;
    EXPECT_TRUE(end.alone) << end;
  }
}

TEST(ProcessPool, a_fork_server_of_a_large_process_that_is_killed_at_any_moment_ends_its_pool) {
  std::minstd_rand random(11);
  for (int round = 0; round < 6; ++round) {
    const auto after = std::chrono::microseconds(random() % 40'000);
    const ChildEnd end = in_child([after] {
      const Ballast ballast;
      std::atomic<bool> over{false};
      std::thread killer([&] {
        std::this_thread::sleep_for(after);
        while (!over.load()) {
          for (const pid_t server : fork_servers_of(::getpid())) ::kill(server, SIGKILL);
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
      });
      for (int i = 0; i < 3; ++i) {
        try {
          ProcessPool pool(2);
          DEMAND(pool.submit(square, i).get() == i * i);
        } catch (const PoolClosed&) {
        } catch (const retinue::ResourceExhausted&) {  // it died while it started the workers
        }
      }
      over.store(true);
      killer.join();
      DEMAND(eventually([] { return descendants_of(::getpid()).empty(); }));
      return 0;
    });
    EXPECT_TRUE(end.exited_with(0)) << end;
    EXPECT_TRUE(end.alone) << end;
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which have large memory of their own
char static_memory[32 << 20];

TEST(InheritedMemory, is_given_back_but_for_what_is_in_use) {
  const ChildEnd end = in_child([] {
    const Ballast large(64 << 20), small(detail::kLargeMapping / 2), read_only(16 << 20);
    static_memory[sizeof static_memory / 2] = 7;
    DEMAND(::mprotect(const_cast<char*>(read_only.data()), 16 << 20, PROT_READ) == 0);
    const std::size_t used = 32 << 20;
    const void* const in_use[] = {large.data() + used};
    detail::drop_inherited_memory(in_use);
    const bool right = large[0] == 0 && large[used - 2 * detail::kKeptAround] == 0 &&
                       large[used + 2 * detail::kKeptAround] == 0 && large[(64 << 20) - 4096] == 0 &&
                       large[used] == 7 && large[used - detail::kKeptAround / 2] == 7 &&
                       large[used + detail::kKeptAround / 2] == 7 && small[0] == 7 && read_only[0] == 7 &&
                       static_memory[sizeof static_memory / 2] == 7;
    ::_exit(right ? 0 : 1);  // nothing that was given back is looked at any more
    return 1;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
}
#endif

}  // namespace process_pool_large_process_test
