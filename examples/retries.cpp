// A second chance for tasks whose worker died, where running twice does no harm.
#include <retinue/retinue.hpp>

#include <atomic>
#include <cassert>
#include <csignal>
#include <cstdio>
#include <ranges>

// Dies on the first two attempts at an item, as if something outside had killed it.
int flaky(retinue::SharedSpan<int> attempts, int item) {
  const int before = std::atomic_ref(attempts[static_cast<std::size_t>(item)]).fetch_add(1);
  if (item % 10 == 3 && before < 2) std::raise(SIGKILL);
  return item;
}

int main() {
  retinue::ProcessPool pool(2);
  retinue::SharedArray<int> attempts(20);
  const auto task = [span = attempts.span()](int item) { return flaky(span, item); };

  // Without retries no task is ever run twice.
  try {
    pool.submit(task, 3).get();
    assert(false);
  } catch (const retinue::WorkerDied& death) {
    std::printf("no retries: %s\n", death.what());
    assert(death.signal() == SIGKILL && death.stack().empty());
  }
  assert(attempts[3] == 1);

  // With retries a task is run again, on another worker, so often at most. Exceptions and timeouts are
  // answers, not deaths: they are not repeated.
  int sum = 0;
  for (const int item : pool.with({.retries = 3}).map(task, std::views::iota(0, 20))) sum += item;
  std::printf("with retries: all 20 items, item 13 in %d attempts\n", attempts[13]);
  assert(sum == 190 && attempts[13] == 3 && attempts[4] == 1);
  std::printf("runs repeated: %d\n", static_cast<int>(pool.stats().retried));
  assert(pool.stats().retried == 3);
}
