// A user's program with a sanitizer, against a library without: threads hand data to each other through everything that
// Retinue offers for it, and rightly, so that there is nothing to report. With an argument it does one thing wrong, and must be
// reported. Without RETINUE_TEST_THREADS, which takes long to compile, there is less of it.
#include <retinue/retinue.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

void check(bool ok, std::string_view what) {
  if (ok) return;
  std::cerr << "sanitized: not so: " << what << '\n';
  std::exit(2);
}

/// Data of the heap, so that its end is seen too.
struct Box {
  std::unique_ptr<int> number;
  explicit Box(int n) : number(std::make_unique<int>(n)) {}
};

int square(int x) { return x * x; }

#if defined(RETINUE_TEST_THREADS)
void threads() {
  retinue::ThreadPool pool(3);
  for (int round = 0; round < 300; ++round) {
    auto box = std::make_shared<Box>(round);
    std::vector<int> seen(8);
    auto future = pool.submit([box, &seen] {
      seen[0] = *box->number;
      *box->number += 1;
      return Box(*box->number);
    });
    box.reset();
    check(*future.get().number == round + 1 && seen[0] == round, "a task and its maker see each other's data");
  }
  std::vector<retinue::Future<std::string>> texts;
  for (int i = 0; i < 500; ++i)
    texts.push_back(pool.submit([i] { return std::string(100, static_cast<char>('a' + i % 20)); }));
  for (auto& text : texts) check(text.get().size() == 100, "a text");

  std::vector<int> input(3000);
  std::iota(input.begin(), input.end(), 0);
  long sum = 0;
  for (const auto& text : pool.map([](int x) { return std::to_string(x); }, input))
    sum += static_cast<long>(text.size());
  for (const auto& text : pool.map_unordered([](int x) { return std::to_string(x); }, input))
    sum -= static_cast<long>(text.size());
  check(sum == 0, "maps");
  std::vector<int> output(input.size());
  pool.for_each([&](std::size_t i) { output[i] = input[i]; }, std::views::iota(std::size_t{0}, input.size()));
  check(output == input, "for_each");
  check(pool.map_reduce(square, std::views::iota(1, 1001), 0L, std::plus<>{}) == 333'833'500, "map_reduce");
  {
    int n = 0;
    for (const std::string& text :
         pool.map([](int x) { return std::string(50, static_cast<char>('a' + x % 20)); }, input))
      if (text.size() == 50 && ++n == 100) break;  // what is under way goes on unseen
  }

  std::vector<int> called(200);
  std::vector<retinue::Future<int>> numbers;
  for (int i = 0; i < 200; ++i) {
    numbers.push_back(pool.submit(square, i));
    numbers.back().on_done([&called, i](auto& done) { called[static_cast<std::size_t>(i)] = done.get(); });
  }
  for (auto& number : numbers) number.wait();
  auto nested = pool.submit([&pool] {
    std::vector<retinue::Future<Box>> inner;
    for (int i = 0; i < 50; ++i) inner.push_back(pool.submit([i] { return Box(i); }));
    int total = 0;
    for (auto& box : inner) total += *box.get().number;
    return total;
  });
  check(nested.get() == 1225, "a task that waits for its own");
  for (int i = 0; i < 100; ++i) {
    auto box = std::make_shared<Box>(i);
    auto dropped = pool.submit([box] { return *box->number; });
    box.reset();
    if (i % 2 == 0) dropped.cancel();
  }
  auto late =
      pool.with({.timeout = 10ms}).submit([box = std::make_shared<Box>(1)] { std::this_thread::sleep_for(30ms); });
  try {
    late.get();
  } catch (const retinue::TaskTimeout&) {
  }
  for (int i = 0; i < 100; ++i) {
    auto thrown =
        pool.submit([i]() -> int { throw std::runtime_error(std::string(100, static_cast<char>('a' + i % 20))); });
    try {
      thrown.get();
    } catch (const std::runtime_error& e) {
      check(std::strlen(e.what()) == 100, "an exception");
    }
  }
  pool.shutdown();
  for (int i = 0; i < 200; ++i) check(called[static_cast<std::size_t>(i)] == i * i, "callbacks were called");
}
#else
void threads() {}
#endif

int crash(int x) {
  if (x == 3) std::raise(SIGABRT);
  return x;
}

void processes() {
  retinue::ProcessPool pool(2);
  std::vector<std::thread> users;
  for (int t = 0; t < 3; ++t)
    users.emplace_back([&pool, t] {
      for (int i = 0; i < 100; ++i) {
        const std::string text(static_cast<std::size_t>(1 + i * 500), static_cast<char>('a' + t));
        check(pool.submit([](const std::string& s) { return s; }, text).get() == text, "texts of every size");
      }
      int next = 0;
      for (const int x : pool.map(square, std::views::iota(0, 2000))) check(x == next * next, "a map"), ++next;
      long total = 0;
      for (const auto& x : pool.map_unordered(square, std::views::iota(0, 1000))) total += x;
      check(total == 332'833'500, "an unordered map");
    });
  for (std::thread& user : users) user.join();

  // Made by one thread, read by another, dropped by a third.
  std::vector<retinue::Future<std::vector<int>>> futures;
  std::thread maker([&] {
    for (int i = 0; i < 100; ++i) futures.push_back(pool.submit([](int n) { return std::vector<int>(5000, n); }, i));
  });
  maker.join();
  std::vector<int> called(futures.size());
  for (std::size_t i = 0; i < futures.size(); ++i)
    futures[i].on_done([&called, i](auto& done) { called[i] = done.get().front(); });
  std::thread reader([&] {
    for (std::size_t i = 0; i < futures.size(); ++i) check(futures[i].get().front() == static_cast<int>(i), "a result");
  });
  reader.join();
  std::thread([&] { futures.clear(); }).join();

  retinue::SharedArray<int> numbers(100'000);
  std::iota(numbers.begin(), numbers.end(), 0);
  pool.for_each([span = numbers.span()](std::size_t i) mutable { span[i] *= 2; },
                std::views::iota(std::size_t{0}, std::size_t{1000}));
  check(numbers[999] == 1998 && numbers[1000] == 1000, "an array that all share");
  try {
    pool.submit(crash, 3).get();
    check(false, "a crash is an exception");
  } catch (const retinue::WorkerDied& e) {
    check(e.signal() == SIGABRT, "the signal is known");
    check(e.stack().find("crash(int)") != std::string::npos && e.stack().find("sanitized.cpp:") != std::string::npos,
          "the stack has names and lines: " + e.stack());
  }
  check(pool.submit(square, 5).get() == 25, "the pool goes on after a crash");
  pool.shutdown();
  for (std::size_t i = 0; i < called.size(); ++i) check(called[i] == static_cast<int>(i), "callbacks were called");
}

volatile int counter = 0;  // each step of the loop below is an access of its own

// Many times: of accesses at the very same moment the sanitizer may see neither.
void race() {
  retinue::ThreadPool pool(2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> there{0};
    const auto count = [&there] {
      ++there;
      while (there < 2) std::this_thread::yield();
      for (int i = 0; i < 10'000; ++i) counter = counter + 1;
    };
    auto first = pool.submit(count), second = pool.submit(count);
    first.get();
    second.get();
  }
}

void overrun() {
  retinue::ThreadPool pool(1);
  std::vector<int> three(3);
  volatile std::size_t beyond = 3;
  pool.submit([&three, &beyond] { return three.data()[beyond]; }).get();
}

void overflow() {
  retinue::SerialExecutor here;
  volatile int most = 2'147'483'647;
  here.submit([&most] { return most + 1; }).get();
}

}  // namespace

int main(int count, char** arguments) {
  const std::string_view wrong = count > 1 ? arguments[1] : "";
  if (wrong == "race") race();
  else if (wrong == "overrun") overrun();
  else if (wrong == "overflow") overflow();
  else {
    threads();
    processes();
    std::cout << "all is right\n";
  }
}
