// A crash costs the task that crashed, and nothing else: not its neighbours, not the pool.
#include <retinue/retinue.hpp>

#include <cassert>
#include <csignal>
#include <iostream>
#include <ranges>
#include <string>
#include <unistd.h>

const int kTable[256] = {1, 2, 3};

// Nobody checks this offset ...
[[gnu::noinline]] int look_up(const int* table, long offset) { return table[offset]; }

// ... and record 700 is damaged.
[[gnu::noinline]] int read_record(int record) {
  const long offset = record == 700 ? 1L << 40 : record % 256;
  return look_up(kTable, offset) + 1;
}

int main() {
  retinue::ProcessPool pool(2);

  // outcomes() gives failures as values: the loop sees every item.
  int good = 0, lost = 0;
  for (auto& outcome : pool.map(read_record, std::views::iota(0, 1000)).outcomes()) {
    if (outcome.ok()) {
      ++good;
      continue;
    }
    ++lost;
    try {
      outcome.value();
    } catch (const retinue::WorkerDied& death) {
      std::cout << "item " << outcome.index() << ": " << death.what() << '\n';
      assert(death.signal() == SIGSEGV && death.worker_pid() > 0);
      assert(death.stack().find("look_up") != std::string::npos);
    }
  }
  std::cout << good << " results, " << lost << " lost\n";
  assert(good == 999 && lost == 1);

  // Leaving the process is a death, too. The future of that task says so; the others never notice.
  auto leaves = pool.submit([] { ::_exit(3); });
  auto stays = pool.submit(read_record, 1);
  try {
    leaves.get();
    assert(false);
  } catch (const retinue::WorkerDied& death) {
    std::cout << "submit: exit code " << death.exit_code() << '\n';
    assert(death.exit_code() == 3 && death.signal() == 0);
  }
  assert(stays.get() == 3);

  // Dead workers have been replaced.
  std::cout << "workers that died: " << pool.stats().workers_died << '\n';
  assert(pool.map(read_record, std::views::iota(0, 100)).collect().size() == 100);
}
