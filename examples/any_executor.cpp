// A program that chooses where its tasks run while it runs: processes, threads, or the calling thread.
#include <retinue/retinue.hpp>

#include <cassert>
#include <cstdio>
#include <numeric>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

retinue::AnyExecutor executor_named(const std::string& name) {
  if (name == "processes") return retinue::ProcessPool(2);
  if (name == "threads") return retinue::ThreadPool(2);
  return retinue::SerialExecutor();
}

// A class that keeps "some executor": no template, so its functions may stand in a source of their own.
class Survey {
 public:
  explicit Survey(retinue::AnyExecutor executor) : executor_(std::move(executor)) {}

  int divisors_up_to(int limit) {
    int sum = 0;
    for (const int count : executor_.map(divisors_of, std::views::iota(1, limit + 1))) sum += count;
    return sum;
  }

 private:
  static int divisors_of(int n) {
    int count = 0;
    for (int d = 1; d <= n; ++d) count += n % d == 0 ? 1 : 0;
    return count;
  }

  retinue::AnyExecutor executor_;
};

int main() {
  for (const char* const name : {"processes", "threads", "none"}) {
    Survey survey(executor_named(name));
    const int found = survey.divisors_up_to(100);
    std::printf("%s: the numbers up to 100 have %d divisors\n", name, found);
    assert(found == 482);
  }

  // One executor for several users, who do not own it: it must outlive them.
  retinue::ThreadPool threads(2);
  Survey first(threads), second(threads);
  assert(first.divisors_up_to(10) == 27 && second.divisors_up_to(10) == 27);
}
