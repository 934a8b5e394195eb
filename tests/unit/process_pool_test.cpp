// A pool's everyday life: submit and get, what travels, options, figures.
#include "support/process_watch.hpp"

#include <array>
#include <bitset>
#include <complex>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

#include <retinue/cpu_count.hpp>
#include <retinue/process_pool.hpp>

namespace process_pool_test {

using namespace retinue_test;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::TaskOptions;

int square(int x) { return x * x; }
long add3(int a, long b, short c) { return a + b + c; }
void count_up(int which) { board().counters[which].fetch_add(1); }
template <class T>
T twice(T x) {
  return x + x;
}

struct Point {
  double x, y;
  double norm() const { return x * x + y * y; }
  Point scaled(double by) const { return {x * by, y * by}; }
  double weight = 1;
};
struct Tripler {
  int operator()(int x) const { return 3 * x; }
};

/// Bytes that differ at every place and from one `seed` to the next.
std::string pattern(std::size_t size, unsigned seed) {
  std::string s(size, '\0');
  std::uint32_t state = seed * 2654435761u + 1;
  for (char& c : s) {
    state = state * 1664525u + 1013904223u;
    c = static_cast<char>(state >> 24);
  }
  return s;
}

std::string echo(const std::string& s) { return s; }
std::string made_of(std::size_t size, unsigned seed) { return pattern(size, seed); }
bool is_pattern(std::string_view s, unsigned seed) { return s == pattern(s.size(), seed); }

TEST(ProcessPool, runs_a_function_in_another_process) {
  ProcessPool pool(2);
  EXPECT_EQ(pool.submit(square, 7).get(), 49);
  const pid_t pid = pool.submit(::getpid).get();
  EXPECT_NE(pid, ::getpid());
  const auto pids = pool.worker_pids();
  EXPECT_EQ(pids.size(), 2u);
  EXPECT_NE(std::ranges::find(pids, pid), pids.end());
}

TEST(ProcessPool, has_as_many_workers_as_asked_for_or_as_there_are_cpus) {
  EXPECT_EQ(ProcessPool(3).workers(), 3u);
  ProcessPool pool;
  EXPECT_EQ(pool.workers(), retinue::cpu_count());
  EXPECT_EQ(pool.worker_pids().size(), retinue::cpu_count());
}

TEST(ProcessPool, refuses_more_workers_than_the_maximum) {
  auto e = thrown_by<retinue::Error>([] { ProcessPool pool(1025); });
  ASSERT_TRUE(e);
  EXPECT_NE(std::string(e->what()).find("1025"), std::string::npos);
}

TEST(ProcessPool, takes_functions_of_every_kind) {
  ProcessPool pool(2);
  EXPECT_EQ(pool.submit(add3, 1, 2L, short{3}).get(), 6);
  EXPECT_EQ(pool.submit(&square, 3).get(), 9);
  EXPECT_EQ(pool.submit([](int x) { return -x; }, 5).get(), -5);
  EXPECT_EQ(pool.submit(twice<std::string>, std::string("ab")).get(), "abab");
  EXPECT_EQ(pool.submit(twice<double>, 1.5).get(), 3.0);
  EXPECT_EQ(pool.submit(Tripler{}, 4).get(), 12);
  EXPECT_EQ(pool.submit(&Point::norm, Point{3, 4}).get(), 25);
  EXPECT_EQ(pool.submit(&Point::weight, Point{3, 4, 8}).get(), 8);
  EXPECT_EQ(pool.submit(&Point::scaled, Point{3, 4}, 2.0).get().y, 8);
  EXPECT_EQ(pool.submit(std::bind_front(add3, 10), 20L, short{3}).get(), 33);
  EXPECT_EQ(pool.submit(std::plus<>{}, 2, 3).get(), 5);
  EXPECT_EQ(pool.submit([](int (*f)(int), int x) { return f(x) + 1; }, square, 3).get(), 10);
}

TEST(ProcessPool, lambdas_travel_with_what_they_captured) {
  ProcessPool pool(2);
  std::array<double, 100> table{};
  std::iota(table.begin(), table.end(), 0.5);
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(pool.submit([i, table](int k) { return table[static_cast<std::size_t>(k)] + i; }, i).get(), 2 * i + 0.5);
}

TEST(ProcessPool, a_function_without_arguments_or_result_runs) {
  ProcessPool pool(2);
  for (int i = 0; i < 100; ++i) pool.submit([] { board().counters[0].fetch_add(1); }).get();
  EXPECT_EQ(board().counters[0].load(), 100);
  pool.submit(count_up, 1).get();
  EXPECT_EQ(board().counters[1].load(), 1);
}

TEST(ProcessPool, move_only_results_and_arguments_travel) {
  ProcessPool pool(2);
  auto f = pool.submit([](int x) { return std::make_unique<int>(x + 1); }, 41);
  EXPECT_EQ(*f.get(), 42);
  EXPECT_EQ(*f.get(), 42) << "a pool's result can be read again";
  EXPECT_EQ(pool.submit([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(7)).get(), 7);
  EXPECT_EQ(pool.submit([](const std::unique_ptr<int>& p) { return p == nullptr; }, std::unique_ptr<int>()).get(),
            true);
}

TEST(ProcessPool, containers_and_their_like_travel) {
  ProcessPool pool(2);
  using Deep =
      std::map<std::string, std::vector<std::optional<std::variant<int, std::string, std::tuple<char, double>>>>>;
  Deep deep;
  deep["none"] = {};
  deep["some"] = {1, std::nullopt, "two", std::tuple{'c', 3.5}};
  deep[std::string(1000, 'k')] = {std::string(5000, 'v')};
  EXPECT_EQ(pool.submit([](Deep d) { return d; }, deep).get(), deep);
  const std::vector<std::vector<std::string>> nested{{}, {"", "a"}, {std::string(300, 'x'), std::string(70'000, 'y')}};
  EXPECT_EQ(pool.submit([](const std::vector<std::vector<std::string>>& v) { return v; }, nested).get(), nested);
  const std::vector<bool> bits{true, false, true};
  EXPECT_EQ(pool.submit(
                    [](std::vector<bool> b) {
                      b.flip();
                      return b;
                    },
                    bits)
                .get(),
            (std::vector<bool>{false, true, false}));
  const std::list<std::deque<short>> chained{{1, 2}, {}, {3}};
  EXPECT_EQ(pool.submit([](std::list<std::deque<short>> l) { return l; }, chained).get(), chained);
  const std::set<std::string> sorted{"a", std::string(400, 'b')};
  EXPECT_EQ(pool.submit([](std::set<std::string> s) { return s; }, sorted).get(), sorted);
  const std::complex<float> z{1, -2};
  EXPECT_EQ(pool.submit([](std::complex<float> c) { return c * c; }, z).get(), z * z);
  const std::unordered_map<int, std::pair<long, std::string>> hashed{{1, {2, "three"}}, {4, {5, ""}}};
  using Hashed = std::unordered_map<int, std::pair<long, std::string>>;
  EXPECT_EQ(pool.submit([](const Hashed& h) { return h; }, hashed).get(), hashed);
}

TEST(ProcessPool, arguments_and_results_of_every_size_arrive_whole) {
  ProcessPool pool(2);
  std::vector<std::size_t> sizes;
  for (std::size_t n = 0; n <= 300; ++n) sizes.push_back(n);
  for (const std::size_t edge : {512u, 1024u, 4096u, 8192u, 65536u, 262144u})
    for (std::size_t n = edge - 40; n <= edge + 40; n += kSlowdown) sizes.push_back(n);
  sizes.insert(sizes.end(), {1'000'000, 1'048'576, 5'000'000});
  for (const std::size_t n : sizes) {
    const auto seed = static_cast<unsigned>(n);
    const std::string sent = pattern(n, seed);
    ASSERT_EQ(pool.submit(echo, sent).get(), sent) << n << " bytes";
    ASSERT_TRUE(pool.submit(is_pattern, sent, seed).get()) << n << " bytes read in place";
    ASSERT_TRUE(is_pattern(pool.submit(made_of, n, seed + 1).get(), seed + 1)) << n << " bytes made in a worker";
  }
}

TEST(ProcessPool, fifty_megabytes_there_and_back_are_freed) {
  ProcessPool pool(2);
  const std::size_t n = 50'000'000 / kSlowdown;
  const std::string sent = pattern(n, 1);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.submit(echo, sent).get() == sent);
  EXPECT_LT(pool.stats().bytes_in_use, n) << "what was read is not in use any more";
}

TEST(ProcessPool, span_and_string_view_parameters_see_what_was_sent) {
  ProcessPool pool(2);
  for (const std::size_t n : {0u, 1u, 3u, 27u, 28u, 100u, 511u, 512u, 100'000u}) {
    std::vector<int> values(n);
    std::iota(values.begin(), values.end(), 1);
    const long expected = std::accumulate(values.begin(), values.end(), 0L);
    EXPECT_EQ(pool.submit([](std::span<const int> s) { return std::accumulate(s.begin(), s.end(), 0L); }, values).get(),
              expected);
    const std::string text(n, 'q');
    EXPECT_EQ(pool.submit([](std::string_view s) { return std::ranges::count(s, 'q'); }, text).get(),
              static_cast<std::ptrdiff_t>(n));
  }
}

TEST(ProcessPool, each_future_gets_its_own_result) {
  ProcessPool pool(2);
  std::vector<retinue::Future<int>> futures;
  for (int i = 0; i < 20'000; ++i) futures.push_back(pool.submit(square, i % 1000));
  for (int i = 19'999; i >= 0; i -= 7) ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), (i % 1000) * (i % 1000));
  for (int i = 0; i < 20'000; ++i) ASSERT_EQ(futures[static_cast<std::size_t>(i)].get(), (i % 1000) * (i % 1000));
}

TEST(ProcessPool, dropped_futures_still_run) {
  {
    ProcessPool pool(2);
    for (int i = 0; i < 10'000; ++i) pool.submit(count_up, 3);
    EXPECT_TRUE(eventually([] { return board().counters[3].load() == 10'000; }, 20s * kPatience));
  }
  EXPECT_EQ(board().counters[3].load(), 10'000);
}

TEST(ProcessPool, a_moved_pool_works_and_the_one_it_left_refuses) {
  ProcessPool first(1);
  auto f = first.submit(square, 2);
  ProcessPool second(std::move(first));
  EXPECT_EQ(f.get(), 4);
  EXPECT_EQ(second.submit(square, 3).get(), 9);
  EXPECT_EQ(first.workers(), 0u);  // NOLINT(bugprone-use-after-move): what is tested
  EXPECT_THROW(first.submit(square, 1), retinue::Error);
  EXPECT_THROW(first.stats(), retinue::Error);
}

TEST(ProcessPool, stats_add_up) {
  ProcessPool pool(2);
  for (int i = 0; i < 10; ++i) pool.submit(square, i).wait();
  EXPECT_THROW(pool.submit([] { throw std::runtime_error("x"); }).get(), std::runtime_error);
  auto stats = pool.stats();
  EXPECT_EQ(stats.submitted, 11u);
  EXPECT_EQ(stats.finished, 11u);
  EXPECT_EQ(stats.failed, 1u);
  EXPECT_EQ(stats.cancelled, 0u);
  EXPECT_EQ(stats.retried, 0u);
  EXPECT_EQ(stats.waiting + stats.in_slots, 0u);
  EXPECT_EQ(stats.workers, 2u);
  EXPECT_EQ(stats.workers_alive, 2u);
  EXPECT_EQ(stats.workers_died, 0u);
  EXPECT_EQ(stats.workers_started, 2u);
}

TEST(ProcessPool, every_task_is_finished_in_a_slot_or_waiting_for_one) {
  ProcessPoolOptions options;
  options.workers = 2;
  options.slot_count = 64;
  ProcessPool pool(options);
  std::vector<retinue::Future<void>> futures;
  for (int i = 0; i < 300; ++i) futures.push_back(pool.submit([] { board().pass_gate(); }));
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 2; }));
  auto check = [&] {
    const auto s = pool.stats();
    EXPECT_EQ(s.submitted, s.finished + s.in_slots + s.waiting);
  };
  check();
  EXPECT_GT(pool.stats().waiting, 200u);
  for (std::size_t i = 250; i < 280; ++i) EXPECT_TRUE(futures[i].cancel());
  check();
  EXPECT_EQ(pool.stats().cancelled, 30u);
  board().gate.store(1);
  for (std::size_t i = 0; i < 250; ++i) futures[i].get();
  check();
  pool.shutdown();
  EXPECT_EQ(pool.stats().finished, 300u);
}

#if !defined(__SANITIZE_THREAD__)  // there the fork server polls, because signals are delayed until the next call
TEST(ProcessPool, an_idle_pool_uses_no_processor) {
  ProcessPool pool(2);
  for (int y : pool.map(square, std::views::iota(0, 10'000))) (void)y;
  auto ticks = [&] {
    long sum = 0;
    for (const auto& [pid, info] : descendants_of(::getpid())) {
      std::istringstream stat(text_of("/proc/" + std::to_string(pid) + "/schedstat"));
      long ns = 0;
      stat >> ns;
      sum += ns;
    }
    return sum;
  };
  // Once it is idle (warm memory is returned to the system after a while), it stays so.
  EXPECT_TRUE(eventually(
      [&] {
        const long before = ticks();
        nap(300ms);
        return ticks() - before < 1'000'000;
      },
      20s * kPatience));
}
#endif

TEST(ProcessPool, many_threads_may_submit_at_once) {
  ProcessPool pool(2);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 10; ++round) {
        std::vector<retinue::Future<int>> futures;
        for (int i = 0; i < 2000 / kSlowdown; ++i) futures.push_back(pool.submit(std::plus<>{}, t * 1'000'000, i));
        for (std::size_t i = 0; i < futures.size(); ++i)
          if (futures[i].get() != t * 1'000'000 + static_cast<int>(i)) ++wrong;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(ProcessPool, many_threads_may_submit_and_map_and_wait_at_once) {
  ProcessPool pool(2);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      for (int round = 0; round < 6; ++round) {
        if (t % 3 == 0) {
          for (int i = 0; i < 1000 / kSlowdown; ++i)
            if (pool.submit(square, i).get() != i * i) ++wrong;
        } else if (t % 3 == 1) {
          int i = 0;
          for (int y : pool.map(square, std::views::iota(0, 5000))) {
            if (y != i * i) ++wrong;
            ++i;
          }
          if (i != 5000) ++wrong;
        } else {
          long sum = 0;
          for (int y : pool.map_unordered(square, std::views::iota(0, 1000))) sum += y;
          if (sum != 332'833'500) ++wrong;
        }
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(ProcessPool, a_pool_inside_a_worker_works) {
  ProcessPool pool(2);
  auto nested = [](int n) {
    ProcessPool inner(2);
    int sum = 0;
    for (int y : inner.map(square, std::views::iota(0, n))) sum += y;
    return sum;
  };
  auto a = pool.submit(nested, 100), b = pool.submit(nested, 10);
  EXPECT_EQ(a.get(), 328'350);
  EXPECT_EQ(b.get(), 285);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(pool.submit(nested, 10).get(), 285);
}

TEST(ProcessPool, pools_nest_three_deep) {
  ProcessPool pool(1);
  const int sum = pool.submit([] {
                        ProcessPool second(1);
                        return second
                                   .submit([] {
                                     ProcessPool third(1);
                                     return third.submit(made_of, std::size_t{100'000}, 1u).get().size() == 100'000
                                                ? third.submit(square, 5).get()
                                                : -1;
                                   })
                                   .get() +
                               1;
                      })
                      .get();
  EXPECT_EQ(sum, 26);
}

TEST(ProcessPool, a_pool_that_a_worker_inherited_refuses_its_work) {
  static ProcessPool* outer = nullptr;
  ProcessPool pool(1);
  outer = &pool;
  ProcessPool later(1);
  const bool refused = later
                           .submit([] {
                             try {
                               outer->submit(square, 1);
                             } catch (const retinue::PoolClosed&) {
                               return true;
                             }
                             return false;
                           })
                           .get();
  EXPECT_TRUE(refused);
  EXPECT_EQ(pool.submit(square, 2).get(), 4);
}

TEST(ProcessPool, several_pools_live_side_by_side) {
  ProcessPool a(1), b(2);
  std::vector<retinue::Future<pid_t>> futures;
  for (int i = 0; i < 200; ++i) futures.push_back((i % 2 ? a : b).submit(::getpid));
  const auto of_a = a.worker_pids(), of_b = b.worker_pids();
  for (std::size_t i = 0; i < futures.size(); ++i) {
    const pid_t pid = futures[i].get();
    EXPECT_EQ(std::ranges::find(of_a, pid) != of_a.end(), i % 2 == 1);
    EXPECT_EQ(std::ranges::find(of_b, pid) != of_b.end(), i % 2 == 0);
  }
  // An argument that came out of one pool goes into the other.
  const std::string big = a.submit(made_of, std::size_t{300'000}, 9u).get();
  EXPECT_TRUE(b.submit(is_pattern, big, 9u).get());
}

TEST(ProcessPool, sixty_four_workers_on_few_processors_work) {
  ProcessPool pool(64);
  EXPECT_EQ(pool.worker_pids().size(), 64u);
  int expected = 0;
  for (int y : pool.map(square, std::views::iota(0, 20'000 / kSlowdown))) {
    ASSERT_EQ(y, expected * expected);
    ++expected;
  }
  EXPECT_EQ(expected, 20'000 / kSlowdown);
  // All of them at once: each waits at the gate until the last one is there.
  std::vector<retinue::Future<void>> futures;
  for (int i = 0; i < 64; ++i) futures.push_back(pool.submit([] { board().pass_gate(); }));
  EXPECT_TRUE(eventually([] { return board().at_gate.load() == 64; }));
  board().gate.store(1);
  for (auto& f : futures) f.get();
}

TEST(ProcessPool, a_task_that_waits_does_not_hold_up_the_others) {
  ProcessPool pool(2);
  auto slow = pool.submit([] { board().pass_gate(); });
  ASSERT_TRUE(eventually([] { return board().at_gate.load() == 1; }));
  for (int i = 0; i < 20'000; ++i) {
    auto f = pool.submit(square, 3);
    if (i % 100 != 0) continue;
    ASSERT_EQ(f.get(), 9);
  }
  EXPECT_FALSE(slow.done());
  board().gate.store(1);
  slow.get();
}

TEST(ProcessPool, what_tasks_print_is_printed_once) {
  std::printf("kept by the owner. ");  // unflushed when the child below is forked would be printed twice by stdio
  std::fflush(stdout);
  const ChildEnd end = in_child([] {
    std::printf("[owner first]");  // in the owner's buffer while the pool is made
    ProcessPool pool(2);
    for (int i = 0; i < 20; ++i) pool.submit([](int k) { std::printf("<%d>", k); }, i).get();
    pool.submit([] { std::printf("<last>"); }).get();
    return 0;
  });
  EXPECT_TRUE(end.exited_with(0)) << end;
  auto count = [&](const std::string& what) {
    int n = 0;
    for (auto at = end.output.find(what); at != std::string::npos; at = end.output.find(what, at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count("[owner first]"), 1) << end;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(count("<" + std::to_string(i) + ">"), 1) << end;
  EXPECT_EQ(count("<last>"), 1) << end;
}

TEST(ProcessPool, what_a_task_prints_is_seen_before_the_pool_ends) {
  const ChildEnd end = in_child([] {
    ProcessPool pool(1);
    pool.submit([] { std::printf("printed by an idle worker"); }).get();
    nap(300ms);
    ::kill(::getpid(), SIGKILL);
    return 0;
  });
  EXPECT_TRUE(end.died_of(SIGKILL)) << end;
  EXPECT_EQ(end.output, "printed by an idle worker");
}

}  // namespace process_pool_test
