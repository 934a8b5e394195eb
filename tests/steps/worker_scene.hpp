// The pool around a worker that is driven, and the tasks it runs.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <retinue/shared_memory.hpp>

#include "memory/region.hpp"
#include "processes/control.hpp"
#include "unit/pool_tasks.hpp"
#include "traced_process.hpp"

namespace retinue_test {

using retinue::Future;
using retinue::ProcessPool;
using retinue::ProcessPoolOptions;
using retinue::detail::PoolMemory;
using retinue::detail::SlotState;
using retinue::detail::Tag;

/// The board's counters in these tests.
enum Counter { kHeld, kFree = kHeld + 2, kReady, kGo, kMet };

inline std::string text(std::size_t bytes) { return std::string(bytes, 't'); }

/// Waits for the gate, as `number`; one of those who wait can be freed alone.
inline int hold(int number) {
  board().counters[kHeld + number].store(::getpid());
  while (board().gate.load() == 0 && board().counters[kFree].load() != ::getpid()) nap(50us);
  return number;
}
/// The task at whose end the steps begin.
inline std::string first_task(std::size_t bytes) {
  board().counters[kReady].store(1);
  while (board().counters[kGo].load() == 0) nap(50us);
  std::string value = text(bytes);
  mark_place();
  return value;
}
/// The one at whose beginning they end.
inline std::string next_task(std::size_t bytes) {
  mark_place();
  return text(bytes);
}
/// True if as many run at the same time.
inline bool meet(unsigned workers) {
  mark_place();
  board().counters[kMet].fetch_add(1);
  const auto deadline = Clock::now() + kSoon;
  while (board().counters[kMet].load() < static_cast<int>(workers)) {
    if (Clock::now() > deadline) return false;
    nap(50us);
  }
  return true;
}

/// How a task ended, in a word; only the death of `victim` by SIGKILL is "died".
template <class R>
std::string end_of(const Future<R>& task, const R& right, pid_t victim = 0) {
  if (task.wait_for(kSoon) != retinue::FutureStatus::ready) return "never";
  try {
    return task.get() == right ? "value" : "another value";
  } catch (const retinue::WorkerDied& e) {
    if (e.worker_pid() == victim && e.signal() == SIGKILL) return "died";
    return e.what();
  } catch (const retinue::Cancelled&) {
    return "cancelled";
  } catch (const retinue::TaskTimeout&) {
    return "timed out";
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// A thread of the owner that must come to its end.
class BesideThread {
 public:
  template <class F>
  explicit BesideThread(F body)
      : thread_([this, body] {
          body();
          done_.store(true);
        }) {}
  ~BesideThread() {
    EXPECT_TRUE(eventually([&] { return done_.load(); })) << "a thread of the owner waits in vain";
    thread_.join();
  }

 private:
  std::atomic<bool> done_{false};
  std::thread thread_;
};

/// A pool whose shared memory the test can look into.
struct OpenPool {
  explicit OpenPool(const ProcessPoolOptions& options) : OpenPool(options, find(options)) {}

  bool is_asleep(unsigned index) const {
    return (memory.control->idlers[0].asleep.load() >> index & 1) != 0 && process_info(pid_of(index)).state == 'S';
  }
  pid_t pid_of(unsigned index) const { return memory.worker_records[index].pid.load(); }
  unsigned index_of(pid_t pid) const {
    for (unsigned i = 0; i < memory.workers; ++i)
      if (pid_of(i) == pid) return i;
    throw std::runtime_error("no record is that worker's");
  }
  /// Where the task is that was submitted last.
  std::uint64_t last_position() const { return memory.control->tail.load() - 1; }
  std::uint64_t state_at(std::uint64_t position) const {
    const std::uint64_t state = memory.slot(position).state.load();
    if (!SlotState::is_at(state, position)) throw std::runtime_error("a task is not in the slot where it should be");
    return state;
  }
  Tag tag_at(std::uint64_t position) const { return SlotState::tag(state_at(position)); }

  ProcessPool pool;
  PoolMemory memory;

 private:
  static constexpr std::uint64_t kSlots = 64;
  OpenPool(ProcessPoolOptions options, std::byte* at)
      : pool((options.slot_count = kSlots, options)), memory(PoolMemory::at(at, options.workers, kSlots)) {}
  /// Where the pool that is made next will have its memory: the first place that is free.
  static std::byte* find(const ProcessPoolOptions& options) {
    auto& region = retinue::detail::Region::of_this_process();
    const auto extent = region.allocate_control(PoolMemory::bytes_needed(options.workers, kSlots));
    region.free_control(extent);
    return region.at(extent.offset);
  }
};

inline ProcessPoolOptions pool_options(unsigned workers, std::chrono::nanoseconds spin, std::uint64_t max_tasks = 0) {
  ProcessPoolOptions options;
  options.workers = workers;
  options.spin = spin;
  options.max_tasks_per_worker = max_tasks;
  return options;
}

/// What no kill may change: two workers for tasks that must run together, and no block is left behind.
inline void expect_well(OpenPool& open) {
  board().gate.store(1);
  board().counters[kMet].store(0);
  std::vector<Future<bool>> together;
  for (unsigned i = 0; i < open.pool.workers(); ++i) together.push_back(open.pool.submit(meet, open.pool.workers()));
  for (const auto& one : together) EXPECT_EQ(end_of(one, true), "value");
  EXPECT_TRUE(eventually([] { return retinue::shared_memory_usage().blocks == 0; })) << "blocks are left behind";
}

/// What happens around the walks, the same each time.
class Scene {
 public:
  virtual ~Scene() = default;
  /// Brings a worker to where the steps begin.
  virtual std::unique_ptr<TracedProcess> begin() = 0;
  /// The worker is about to execute the instruction at `place`; on walks in single steps, at each.
  virtual void look(const Place&) {}
  /// What follows goes at full speed from place to place.
  virtual void walks_are_over() {}
  /// The worker stands at one of the places, or has ended before it came there.
  virtual void act(TracedProcess& worker) { worker.kill(); }
  /// The worker was killed or has gone on. Expects that all is well.
  virtual void settle(bool acted) = 0;

 protected:
  template <class F>
  static void await(F&& condition, const char* what) {
    if (!eventually(condition)) throw std::runtime_error(std::string("waited in vain for ") + what);
  }
};

/// Two workers, of which one is kept busy and never killed: what is submitted the other one runs.
class OneFreeWorker : public Scene {
 protected:
  explicit OneFreeWorker(const ProcessPoolOptions& options) : open_(options) {}
  ~OneFreeWorker() override {  // after a failure, too, the pool must come to its end
    board().gate.store(1);
    board().counters[kGo].store(1);
  }

  /// Afterwards one worker is held until `release`, and `free_` is the other.
  void hold_one() {
    board().gate.store(0);
    for (auto& counter : board().counters) counter.store(0);
    std::vector<Future<int>> both;
    for (const int number : {0, 1}) both.push_back(open_.pool.submit(hold, number));
    await([] { return board().counters[kHeld].load() != 0 && board().counters[kHeld + 1].load() != 0; }, "two workers");
    const pid_t pids[] = {board().counters[kHeld].load(), board().counters[kHeld + 1].load()};
    if (busy_ == 0) busy_ = pids[0];
    const unsigned held = pids[0] == busy_ ? 0 : 1;
    if (pids[held] != busy_) throw std::runtime_error("a worker has died that was not killed");
    free_ = pids[1 - held];
    held_ = std::move(both[held]);
    board().counters[kFree].store(free_);
    both[1 - held].wait();
    // A new worker may run before the fork server has noted which it is.
    await([&] { return open_.pid_of(0) == free_ || open_.pid_of(1) == free_; }, "the free worker's record");
    worker_index_ = open_.index_of(free_);
    // So that it begins each time as one that was woken.
    await([&] { return open_.is_asleep(worker_index_); }, "the free worker's sleep");
  }
  void release() {
    board().gate.store(1);
    EXPECT_EQ(end_of(held_, 0) == "value" || end_of(held_, 1) == "value", true);
  }

  OpenPool open_;
  pid_t busy_ = 0, free_ = 0;
  unsigned worker_index_ = 0;  // of the free one

 private:
  Future<int> held_;
};

}  // namespace retinue_test
