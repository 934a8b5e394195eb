// The machinery of ThreadPool: its queues, its threads, who sleeps and who is woken.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <retinue/detail/threads/thread_core.hpp>

#include "system/short_lock.hpp"
#include "task_queue.hpp"
#include "thread_timer.hpp"
#include "tasks/wait_place.hpp"

namespace retinue::detail {

/// A thread of the pool and the tasks it has taken in one go. Its own thread calls the functions, thieves
/// use the queue.
class alignas(64) ThreadWorker final : public WaitPlace {
 public:
  ThreadWorker(ThreadCore& core, unsigned index) noexcept : core_(core), index_(index) {}
  /// The life of the thread. It begins as a searcher, as which the starter has counted it.
  void live() noexcept;

  bool run_in_place(std::span<Completion* const> set) noexcept override;
  void leave() noexcept override;
  void come_back() noexcept override;

  static ThreadWorker*& of_this_thread() noexcept;
  ThreadCore& core() const noexcept { return core_; }
  /// The deepest nesting of tasks on one stack; deeper ones are left to other threads.
  static constexpr std::uint32_t kDeepest = 200;

 private:
  friend class ThreadCore;
  friend void enqueue(ThreadCore& core, ThreadTask* task);
  ThreadTask* next_task() noexcept;
  ThreadTask* search() noexcept;
  void run(ThreadTask* task) noexcept;
  void run_counted(ThreadTask* task) noexcept;
  void sleep_until_woken() noexcept;
  /// Under ThreadCore::lock_: what is left of it is one overdue task, or several that wait for each other, for which nobody waits.
  bool is_abandoned() const noexcept { return overdue_ > 0 && depth_.load(std::memory_order_relaxed) == overdue_; }

  ThreadCore& core_;
  const unsigned index_;
  TaskQueue queue_;
  // Used by this thread alone.
  bool searching_ = true;
  unsigned turns_ = 0;  // tasks in a row from its own queue
  AdaptiveSpin spin_{std::chrono::microseconds(5), std::chrono::microseconds(50)};
  // Written by this thread alone, read by others.
  std::atomic<std::uint32_t> depth_{0};
  std::atomic<std::uint64_t> finished_{0};
  std::atomic<std::uint64_t> cancelled_{0};
  std::atomic<std::uint32_t> woken_{0};  // what it sleeps on when it has nothing to do
  // Guarded by ThreadCore::lock_.
  unsigned absences_ = 0;      // reasons why its place is given away: a wait, an overdue task
  std::uint32_t overdue_ = 0;  // tasks on its stack that have timed out
};

/// Two counts in one word: places without a running thread, and threads that search.
struct Census {
  static constexpr std::uint64_t kIdle = 1, kSearching = std::uint64_t{1} << 32;  // one of each
  static std::uint64_t idle(std::uint64_t census) noexcept { return census & (kSearching - 1); }
  static std::uint64_t searching(std::uint64_t census) noexcept { return census >> 32; }
};

/// The initializer of a pool's threads. All but the function is guarded by ThreadCore::threads_mutex_.
struct Initialization {
  const std::function<void()> function;
  unsigned done = 0;         // threads in which it has run
  std::exception_ptr error;  // what the first of them threw
  std::condition_variable changed;
};

/// A pool of threads. Owned jointly by its ThreadPool, its maps and its threads.
///
/// Order of work: tasks from outside go through one intake queue, from which threads take batches into queues
/// of their own; what a task submits goes to its thread's queue; idle threads steal from the others, so
/// nothing waits behind a slow task while a thread is free. First in, first out everywhere.
///
/// *Places*: `workers` tasks run at once. A thread that waits for a future inside a task, or whose task is
/// overdue, gives its place away, and a spare thread takes it when there is work. The spare runs on its own
/// stack, so that no task is ever buried under one that waits for it. When the wait is over the thread goes on
/// at once; the thread that is then too many becomes a spare at its next change of tasks.
///
/// Waking: a thread without work *searches* (spins) a little, then sleeps. A submit wakes a sleeper only if
/// nobody searches; a searcher that finds work wakes the next if there is more. `census_` holds the counts of
/// both; it is changed, and the queues' counts are read and written, with sequential consistency, so that
/// either the submitter sees the sleeper or the sleeper sees the task.
///
/// Invariants, under lock_: surplus_ > 0 implies open_places_ == 0 and withheld_places_ == 0; idle in census_
/// is sleepers_.size() + open_places_.
class ThreadCore : public std::enable_shared_from_this<ThreadCore> {
 public:
  explicit ThreadCore(const ThreadPoolOptions& options);
  ~ThreadCore();

  void start_all();
  void shut_down(bool cancel_pending);
  bool made_elsewhere() const noexcept;
  bool closed() const noexcept { return closed_.load(std::memory_order_relaxed); }
  bool any_work() const noexcept;
  unsigned workers() const noexcept { return workers_; }
  ThreadPoolStats stats() const noexcept;

  /// Runs a claimed task that has a timeout.
  void run_timed(ThreadTask& task, ThreadWorker* worker) noexcept;
  /// For the timer: `worker` has a task that is overdue, or no longer has.
  void overdue(ThreadWorker& worker) noexcept;
  void no_longer_overdue(ThreadWorker& worker) noexcept;

 private:
  friend class ThreadWorker;
  friend void enqueue(ThreadCore& core, ThreadTask* task);
  static constexpr unsigned kMaxSpares = 256;  // threads that stand in for others, beyond the places

  void wake_if_needed() noexcept {
    const std::uint64_t census = census_.load(std::memory_order_seq_cst);
    if (Census::idle(census) > 0 && Census::searching(census) == 0) wake_one();
  }
  void wake_one() noexcept;
  void start_first_thread();
  void start_thread();
  void withhold_place() noexcept;
  void life_of(ThreadWorker& worker) noexcept;
  void end_search() noexcept;
  /// Sleeps until woken for work; false when the pool ends.
  bool sleep(ThreadWorker& worker) noexcept;
  /// If there are more threads than places, makes this one a spare; false when the pool ends.
  bool rest_if_surplus(ThreadWorker& worker) noexcept;
  void release_place(ThreadWorker& worker) noexcept;
  void reacquire_place(ThreadWorker& worker) noexcept;
  bool is_drained_locked() const noexcept;
  void note_drained_locked() noexcept;
  void end_threads_locked() noexcept;
  void cancel_queued() noexcept;
  ThreadTask* take_batch(ThreadWorker& worker) noexcept;
  ThreadTask* steal(ThreadWorker& worker) noexcept;

  const unsigned workers_;
  const unsigned capacity_;  // of threads: workers_ + kMaxSpares
  const std::string name_;
  const std::uint64_t generation_;  // of the process it was made in
  ThreadTimer timer_;

  // The threads by number; an entry is written once, before created_ counts it.
  std::unique_ptr<std::unique_ptr<ThreadWorker>[]> all_;
  std::atomic<unsigned> created_{0};

  alignas(64) std::atomic<std::uint64_t> census_{0};
  std::atomic<unsigned> surplus_{0};   // written under lock_
  std::atomic<bool> closed_{false};    // written under intake_'s lock
  std::atomic<bool> refusing_{false};  // not even from its own threads; written under lock_
  std::atomic<bool> ending_{false};    // threads end when they next look; written under lock_

  alignas(64) TaskQueue intake_;

  alignas(64) mutable ShortLock lock_;   // taken before a queue's lock, never after it
  std::vector<ThreadWorker*> sleepers_;  // with a place
  std::vector<ThreadWorker*> spares_;    // without one
  unsigned open_places_;
  unsigned withheld_places_ = 0;           // open, but no thread can be had for them
  unsigned gone_ = 0;                      // threads that have ended
  bool closing_ = false;                   // a shutdown waits until it is drained
  bool ends_itself_ = false;               // it was called in a thread of the pool: the threads end when it is drained
  std::atomic<std::uint32_t> drained_{0};  // futex: all that was submitted has ended

  std::mutex shutdown_mutex_;  // one shutdown at a time; taken before threads_mutex_
  std::mutex threads_mutex_;   // guards all below, and the creation of threads; taken before lock_
  bool detached_ = false;
  Initialization initialization_;
  std::vector<std::pair<ThreadWorker*, std::thread>> threads_;
};

}  // namespace retinue::detail
