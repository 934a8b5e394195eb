// What every worker needs and what takes long to make is made once a worker, not once a task.
#include <retinue/retinue.hpp>

#include <cassert>
#include <cstdio>
#include <map>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

// Stands for a database connection, a parsed model, a random generator ... It is empty in the owner.
std::map<int, std::string> dictionary;

void open_dictionary(int size) {
  for (int i = 0; i < size; ++i) dictionary[i] = "word " + std::to_string(i);
}

std::pair<std::string, pid_t> look_up(int key) { return {dictionary.at(key), ::getpid()}; }

int main() {
  // Called in each worker before its first task, also in those that replace dead ones. The initializer is
  // inherited by the fork, so any closure will do; it is not encoded.
  int size = 10'000;
  retinue::ProcessPoolOptions options;
  options.workers = 2;
  options.initializer = [&size] { open_dictionary(size); };
  retinue::ProcessPool pool(options);

  std::set<pid_t> workers;
  for (const auto& [word, pid] : pool.map(look_up, std::views::iota(0, 2000))) workers.insert(pid);
  std::printf("2000 look-ups, %zu dictionaries\n", workers.size());
  assert(dictionary.empty() && workers.size() <= 2);
  assert(pool.submit(look_up, 42).get().first == "word 42");

  // What exists before the pool is made is inherited as it is, without a copy, as long as nobody writes to
  // it. That is the cheapest way to give a large table to all workers.
  open_dictionary(100);
  retinue::ProcessPool heirs(2);
  assert(heirs.submit(look_up, 99).get().first == "word 99");

  // An initializer that throws ends the pool, and every future says why.
  options.initializer = [] { throw std::runtime_error("no dictionary today"); };
  retinue::ProcessPool broken(options);
  try {
    broken.submit(look_up, 1).get();
    assert(false);
  } catch (const retinue::PoolClosed& e) {
    std::printf("%s\n", e.what());
  }
}
