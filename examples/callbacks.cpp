// To be notified instead of waiting: a callback, and a coroutine.
#include <retinue/retinue.hpp>

#include <cassert>
#include <coroutine>
#include <cstdio>
#include <exception>
#include <future>
#include <stdexcept>

long cube(long x) {
  if (x > 1'000'000) throw std::overflow_error("too large to cube");
  return x * x * x;
}

// The smallest coroutine type: runs at once, and nobody waits for it. Take the one of your own library.
struct Detached {
  struct promise_type {
    Detached get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
};

// Reads like a loop, occupies no thread while a worker computes. After each co_await it goes on in a
// thread of the pool's, so it should be brief there.
Detached cube_again_and_again(retinue::ProcessPool& pool, long x, std::promise<long>& last) {
  long value = x;
  try {
    for (;;) value = co_await pool.submit(cube, value);
  } catch (const std::overflow_error&) {
    last.set_value(value);
  }
}

int main() {
  std::promise<long> received, last;  // before the pool, whose threads use them until it has ended
  retinue::ProcessPool pool(2);

  // A callback gets the future, which is done, and runs in a thread of the pool's.
  auto future = pool.submit(cube, 12L);
  future.on_done([&received](retinue::Future<long>& f) { received.set_value(f.get()); });
  const long cubed = received.get_future().get();
  std::printf("callback: 12 cubed is %ld\n", cubed);
  assert(cubed == 1728);

  // On a task that has ended it is called at once, here.
  bool called = false;
  future.on_done([&called](retinue::Future<long>&) { called = true; });
  assert(called);

  cube_again_and_again(pool, 3, last);
  const long largest = last.get_future().get();
  std::printf("coroutine: 3, 27, 19683, %ld\n", largest);
  assert(largest == 7'625'597'484'987L);
}
