// Results in the order in which they are done, not in the order in which they were asked for.
#include <retinue/retinue.hpp>

#include <cassert>
#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int work(int ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
  return ms;
}

int main() {
  retinue::ProcessPool pool(3);
  const std::vector<int> times{90, 10, 50};

  // Futures, each as soon as it is done.
  std::vector<retinue::Future<int>> futures;
  for (const int ms : times) futures.push_back(pool.submit(work, ms));
  int done = 0, sum = 0;
  for (auto& future : retinue::as_completed(futures)) {
    const auto place = &future - futures.data();
    std::printf("%d. to end: future %td, %d ms of work\n", ++done, place, future.get());
    sum += future.get();
  }
  assert(done == 3 && sum == 150);

  // The same over a map. outcomes() say which item each result belongs to.
  std::vector<bool> seen(times.size());
  for (auto& outcome : pool.map_unordered(work, times).outcomes()) {
    std::printf("item %d took %d ms\n", static_cast<int>(outcome.index()), outcome.value());
    assert(outcome.value() == times[outcome.index()]);
    seen[outcome.index()] = true;
  }
  assert((seen == std::vector<bool>{true, true, true}));

  // The first of several, and all of several; with a time limit where asked for.
  auto slow = pool.submit(work, 300);
  auto quick = pool.submit(work, 1);
  const std::size_t first = retinue::wait_any(slow, quick);
  std::printf("first of two: %s\n", first == 1 ? "the quick one" : "the slow one");
  assert(quick.done() || first == 0);
  std::vector<retinue::Future<int>> rest;
  rest.push_back(std::move(slow));
  if (retinue::wait_all(rest, 1ms) == retinue::FutureStatus::timeout) std::puts("not all within 1 ms");
  retinue::wait_all(rest);
  assert(rest[0].done());
}
