#include "round.hpp"

#include <chrono>
#include <exception>
#include <latch>
#include <memory>
#include <optional>
#include <thread>

#include <retinue/process_pool.hpp>

#include "board.hpp"
#include "orders.hpp"
#include "fault_thread.hpp"
#include "verdict.hpp"

namespace retinue_chaos {
namespace {

retinue::ProcessPoolOptions options_of(const Round& round) {
  retinue::ProcessPoolOptions options;
  options.workers = round.workers;
  options.slot_count = round.slots;
  options.max_tasks_per_worker = round.max_tasks_per_worker;
  options.max_memory_per_worker = round.max_memory_per_worker;
  options.break_on_worker_death = round.break_on_worker_death;
  if (round.spin_us >= 0) options.spin = std::chrono::microseconds(round.spin_us);
  if (round.initializer) options.initializer = [mark = round.number + 1] { mark_worker(mark); };
  return options;
}

/// The owner threads of a round.
class Owners {
 public:
  Owners(const Round& round, retinue::ProcessPool& pool, std::span<Record> records,
         const std::function<void()>& progress) {
    for (const auto& orders : round.threads)
      owners_.push_back(std::make_unique<OwnerThread>(orders, pool, records, progress));
  }

  /// Each in a thread; `once_submitted` runs here as soon as all have submitted what they have to, if it is given.
  void run(const std::function<void()>& once_submitted) {
    const bool read_later = static_cast<bool>(once_submitted);
    std::latch submitted(static_cast<std::ptrdiff_t>(owners_.size())), shut(1);
    std::vector<std::thread> threads;
    for (auto& owner : owners_)
      threads.emplace_back([&, read_later] {
        owner->run(read_later);
        submitted.count_down();
        shut.wait();
        owner->read_rest();
      });
    if (read_later) {
      submitted.wait();
      once_submitted();
    }
    shut.count_down();
    for (auto& thread : threads) thread.join();
  }

  void judge_maps(Verdict& verdict) const {
    for (const auto& owner : owners_)
      for (const auto& map : owner->maps()) verdict.judge(*map);
  }

 private:
  std::vector<std::unique_ptr<OwnerThread>> owners_;
};

}  // namespace

RoundResult run_round(const Round& round, const std::function<void()>& progress) {
  RoundResult result;
  for (std::uint32_t i = 0; i < round.tasks; ++i) board().runs[i].store(0);
  std::vector<Record> records(round.tasks);
  expect_mark(round.initializer ? round.number + 1 : 0);
  std::optional<retinue::ProcessPool> pool(options_of(round));
  expect_mark(0);  // the workers have what they need; here tasks are run serially later on
  Owners owners(round, *pool, records, progress);
  retinue::PoolStats stats;
  {
    const Continuer continuer(*pool, progress);
    FaultThread fault_thread(round, *pool, result.injected, progress);
    if (round.has(FaultKind::shut_early)) owners.run([&pool] { pool->shutdown(); });
    else owners.run(nullptr);
    fault_thread.finish();
    pool->shutdown();
    stats = pool->stats();
    progress();
  }
  pool.reset();
  board().clock_jump_ns.store(0);
  progress();

  Verdict verdict(round, result.injected);
  for (const auto& orders : round.threads)
    for (const Order& order : orders)
      for (const PlannedTask& planned : order.planned_tasks) {
        Record& record = records[planned.task.index];
        ++result.ends[static_cast<std::size_t>(record.end)];
        verdict.judge(planned, record, order.kind != Order::Kind::submits);
        progress();
      }
  owners.judge_maps(verdict);
  verdict.judge(stats);
  result.problems = verdict.problems();
  result.problems.insert(result.problems.end(), result.injected.problems.begin(), result.injected.problems.end());
  result.workers_died = stats.workers_died;
  result.retried = stats.retried;
  return result;
}

}  // namespace retinue_chaos
