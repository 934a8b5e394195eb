// What the tests of process pools run as tasks.
#pragma once

#include "support/process_watch.hpp"

#include <atomic>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <unistd.h>
#include <vector>

#include <retinue/process_pool.hpp>

namespace retinue_test {

inline int square(int x) { return x * x; }
inline void meet_signal(int signal) { std::raise(signal); }
inline void leave_with(int code) { ::_exit(code); }
inline void spin_for_ever() {
  for (std::atomic<int> k{0};;) k.fetch_add(1, std::memory_order_relaxed);
}
inline bool is_alive(pid_t pid) { return !is_gone(pid); }

/// Runs `body` as a task that must kill its worker, and then a task that must not mind.
template <class F, class... A>
std::unique_ptr<retinue::WorkerDied> death_of(retinue::ProcessPool& pool, F body, A... arguments) {
  const pid_t pid = pool.submit(::getpid).get();
  auto e = thrown_by<retinue::WorkerDied>([&] { pool.submit(body, arguments...).get(); });
  if (e) {
    EXPECT_EQ(e->worker_pid(), pid);
  }
  EXPECT_EQ(pool.submit(square, 9).get(), 81) << "the pool goes on";
  EXPECT_NE(pool.submit(::getpid).get(), pid);
  return e;
}

struct Odd : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline int gated(int x) {
  board().pass_gate();
  return x;
}

/// A pool whose every worker waits at the gate.
struct HeldPool {
  explicit HeldPool(unsigned workers = 2, std::size_t slots = 64) : pool(options(workers, slots)) {
    for (unsigned i = 0; i < workers; ++i) held.push_back(pool.submit(gated, static_cast<int>(i)));
    EXPECT_TRUE(eventually([&] { return board().at_gate.load() == static_cast<int>(workers); }));
  }
  ~HeldPool() { board().gate.store(1); }
  static retinue::ProcessPoolOptions options(unsigned workers, std::size_t slots) {
    retinue::ProcessPoolOptions o;
    o.workers = workers;
    o.slot_count = slots;
    return o;
  }
  void open() {
    board().gate.store(1);
    for (auto& f : held) f.wait();
  }
  retinue::ProcessPool pool;
  std::vector<retinue::Future<int>> held;
};

}  // namespace retinue_test
