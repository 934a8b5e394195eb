// Tasks that take too long, and tasks that are no longer wanted.
#include <retinue/retinue.hpp>

#include <cassert>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int nap(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  return ms;
}

template <class E>
bool ends_with(const retinue::Future<int>& future) {
  try {
    future.get();
  } catch (const E& e) {
    std::printf("%s\n", e.what());
    return true;
  }
  return false;
}

int main() {
  retinue::ProcessPool pool(2);

  // A limit on the time a task may run, counted from its start. Its worker is killed and replaced.
  auto stuck = pool.with({.timeout = 50ms}).submit(nap, 60'000);
  assert(ends_with<retinue::TaskTimeout>(stuck));

  // A limit on the time one waits. The task goes on.
  auto slow = pool.submit(nap, 100);
  if (slow.wait_for(5ms) == retinue::FutureStatus::timeout) std::puts("not yet");
  assert(slow.get() == 100);

  // In a map the limit is each item's own.
  int done = 0, late = 0;
  for (auto& outcome : pool.with({.timeout = 250ms}).map(nap, std::vector{1, 60'000, 2, 3}).outcomes())
    ++(outcome.ok() ? done : late);
  std::printf("%d in time, %d too late\n", done, late);
  assert(done == 3 && late == 1);

  // cancel() cancels what has not started: here both workers are busy for a while.
  auto a = pool.submit(nap, 250), b = pool.submit(nap, 250), c = pool.submit(nap, 250);
  assert(c.cancel() && c.cancelled());
  assert(ends_with<retinue::Cancelled>(c));

  // cancel(true) also stops what is running; a task that has ended keeps its result.
  auto endless = pool.submit(nap, 60'000);
  assert(a.get() == 250 && b.get() == 250);
  while (pool.stats().in_slots == 0) std::this_thread::sleep_for(1ms);
  assert(endless.cancel(true));
  assert(ends_with<retinue::Cancelled>(endless));
  assert(!a.cancel(true) && a.get() == 250);

  assert(pool.submit(nap, 1).get() == 1);  // the pool goes on
}
