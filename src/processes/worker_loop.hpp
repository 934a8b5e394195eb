// What a worker does from its first task to its last: claims tasks, runs them, waits for more.
#pragma once

#include <cstdint>
#include <sys/types.h>

#include <retinue/detail/tasks/task_context.hpp>

#include "system/file_identity.hpp"
#include "spin.hpp"
#include "worker.hpp"

namespace retinue::detail {

/// One worker's loop. Killed at any instruction it leaves: its slot running (reclaimed), its idler bits
/// (cleared), a ring it owed (the owner rings all), its part of the region (retired).
class Worker final : TimeLimits {
 public:
  /// Opens what it needs, before limits hold. Throws Error.
  Worker(const PoolPlan& plan, unsigned index, pid_t parent);

  /// Until it is to leave.
  void run();

 private:
  static constexpr std::uint64_t kFetchAhead = 8;
  static constexpr std::uint64_t kGrantEvery = 10'000'000;   // ns
  static constexpr std::uint64_t kLeastLoadingSeconds = 60;  // of CPU time

  bool claim(Slot& slot, std::uint64_t state) noexcept;
  void spread_work() noexcept;
  void run_task(Slot& slot) noexcept;
  void grant_cpu_time() noexcept;
  [[noreturn, gnu::cold, gnu::noinline]] void leave_without_limits() noexcept;
  void begin_limits(const Slot& slot, bool timed) noexcept;
  void loading() noexcept override;
  void loaded() noexcept override;
  void call_entry(TaskContext& context, std::uint64_t entry_bits);
  static void write_exception(TaskContext& context) noexcept;
  void finish(Slot& slot, const TaskContext& context, ResultKind kind) noexcept;
  [[noreturn, gnu::cold, gnu::noinline]] void await_kill() noexcept;
  bool must_retire() noexcept;
  unsigned long private_pages() noexcept;
  [[gnu::cold, gnu::noinline]] void look_for_parent() noexcept;
  bool stay_with_parent() const noexcept;
  void await_ring() noexcept;
  void follow_tail() noexcept;
  void start_over() noexcept;
  bool work_in_sight() const noexcept;
  bool poll() noexcept;
  bool wait_for_work() noexcept;
  void sleep() noexcept;
  void stop_spinning() noexcept;

  const PoolPlan& plan_;
  const PoolMemory& memory_;
  Control& control_;
  Seat& seat_;
  Idlers& idlers_;
  const std::uint64_t bit_;
  const unsigned index_;
  const std::uint64_t generation_;
  const pid_t parent_;    // the fork server
  std::uint32_t server_;  // what its bell says as long as it lives
  const bool may_retire_;

  std::uint64_t cursor_;          // no position below is ready, ever again
  std::uint64_t known_tail_ = 0;  // positions below have been published
  std::uint64_t finished_ = 0, rests_ = 0;
  std::uint64_t last_entry_ = ~std::uint64_t{0};
  Entry last_function_ = nullptr;
  bool spinning_ = false;            // our bit is set
  bool fresh_awake_ = true;          // just woken: may have to wake the next
  std::uint64_t granted_ns_ = 0;     // when CPU time was last granted
  TimeLimits* const limits_of_all_;  // this, where CPU time is limited
  bool timed_ = false;               // the task that runs has a limit of time
  bool cpu_time_to_load_ = false;    // granted more than a task may use, and not yet taken back
  int statm_ = -1;  // what tells how much memory this process has; open to its end, unless a task closes it
  FileIdentity statm_file_;
  unsigned long inherited_ = 0;  // pages of the owner's: the next worker would have them, too
  SpinBudget spin_;
};

}  // namespace retinue::detail
