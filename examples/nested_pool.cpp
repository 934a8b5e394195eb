// A pool inside a worker: an outer task spreads its own work over workers of its own.
#include <retinue/retinue.hpp>

#include <cassert>
#include <cstdio>
#include <ranges>
#include <set>
#include <unistd.h>
#include <utility>
#include <vector>

struct Answer {
  long sum;
  pid_t worker;             // who ran the outer task
  std::set<pid_t> helpers;  // who ran the inner ones
};

long triangle(int n) { return 1L * n * (n + 1) / 2; }

Answer chapter(int first, int last) {
  // Made on the first task of this worker and kept for the following ones. It ends with the worker.
  static retinue::ProcessPool helpers(2);
  Answer answer{0, ::getpid(), {}};
  for (auto [t, pid] :
       helpers.map([](int n) { return std::pair(triangle(n), ::getpid()); }, std::views::iota(first, last))) {
    answer.sum += t;
    answer.helpers.insert(pid);
  }
  return answer;
}

int main() {
  retinue::ProcessPool pool(2);
  long total = 0;
  const std::vector<int> firsts{0, 100, 200, 300}, lasts{100, 200, 300, 400};
  for (const Answer& answer : pool.map(chapter, firsts, lasts)) {
    std::printf("worker %d with %zu helper(s): %ld\n", static_cast<int>(answer.worker), answer.helpers.size(),
                answer.sum);
    assert(answer.worker != ::getpid() && !answer.helpers.empty());
    assert(!answer.helpers.contains(answer.worker) && !answer.helpers.contains(::getpid()));
    total += answer.sum;
  }
  assert(total == 10'666'600);
}
