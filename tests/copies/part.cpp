// A part of a program that has a copy of the library linked into it, hidden from the others. Two are built of this.
#include <atomic>
#include <exception>
#include <string>
#include <vector>

#include <retinue/as_completed.hpp>
#include <retinue/process_pool.hpp>
#include <retinue/thread_pool.hpp>
#include <retinue/wait.hpp>

#include "part.hpp"

namespace {

using retinue_test::Part;

int square(int x) { return x * x; }
int wait_a_little(int x) {
  ::usleep(100'000);
  return x;
}

// So that the parts do not have their modules in the same order.
#ifdef RETINUE_TEST_SECOND_PART
int first_use() {
  return retinue::ProcessPool(1).submit([](const std::string& s) { return static_cast<int>(s.size()); }, "abc").get();
}
#else
int first_use() { return 3; }
#endif

int run() {
  if (first_use() != 3) return 1;
  retinue::ProcessPool pool(2);
  int i = 0;
  for (int y : pool.map(square, std::vector{0, 1, 2, 3})) {
    if (y != i * i) return 2;
    ++i;
  }
  if (pool.submit(square, 9).get() != 81) return 3;
  retinue::ThreadPool threads(2);
  auto late = threads.submit(wait_a_little, 4);
  auto later = pool.submit(wait_a_little, 5);
  retinue::wait_all(late, later);
  return late.get() + later.get() == 9 ? 0 : 4;
}

template <class Body>
std::string message_of(Body&& body) {
  try {
    body();
    return "";
  } catch (const retinue::Error& e) {
    return e.what();
  }
}

std::string submit(retinue::ProcessPool& pool) {
  return message_of([&] { pool.submit(square, 3).get(); });
}
std::string map(retinue::ProcessPool& pool) {
  return message_of([&] {
    for (int y : pool.map(square, std::vector{1, 2})) (void)y;
  });
}
std::string take_backend(retinue::ProcessPool& pool) {
  return message_of([&] { (void)pool.backend(); });
}
std::string submit_to_threads(retinue::ThreadPool& pool) {
  return message_of([&] { pool.submit(square, 3).get(); });
}
std::string wait_for_any(retinue::Future<int>& future) {
  return message_of([&] { retinue::wait_any(future); });
}
void end(retinue::ProcessPool& pool) { pool.shutdown(); }

}  // namespace

extern "C" [[gnu::visibility("default")]] const Part* retinue_test_part() {
  static constexpr Part part{&run, &submit, &map, &take_backend, &submit_to_threads, &wait_for_any, &end};
  return &part;
}
