// What a user's first program needs of an install tree: the headers, the library and what it links.
#include <retinue/retinue.hpp>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <ranges>
#include <string>
#include <string_view>

namespace {

int square(int x) { return x * x; }

void check(bool ok, std::string_view what) {
  if (ok) return;
  std::cerr << "consumer: not so: " << what << '\n';
  std::exit(1);
}

}  // namespace

// Outside the unnamed namespace: the stack of the crash must name it.
int crash_of_the_consumer(int x) {
  if (x == 3) std::raise(SIGSEGV);
  return x;
}

int main() {
  check(retinue::version() == RETINUE_VERSION, "headers and library are of one version");
  check(std::string_view(PACKAGE_VERSION) == RETINUE_VERSION,
        "the package has the version of its headers: " PACKAGE_VERSION);

  retinue::ProcessPool pool(2);
  check(pool.map_reduce(square, std::views::iota(1, 1001), 0L, std::plus<>{}) == 333'833'500, "map_reduce adds up");

  const std::string greeting =
      pool.submit([](const std::string& s) { return s + " hands"; }, std::string("many")).get();
  check(greeting == "many hands", "a string travels both ways");

  try {
    pool.submit(crash_of_the_consumer, 3).get();
    check(false, "a crash is an exception");
  } catch (const retinue::WorkerDied& e) {
    check(e.signal() == SIGSEGV, "the signal is known");
    check(e.stack().find("crash_of_the_consumer") != std::string::npos, "the stack names the function: " + e.stack());
  }
  check(pool.submit(square, 5).get() == 25, "the pool goes on after a crash");
}
