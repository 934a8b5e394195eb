// The threads that inject the faults of a round, and end those that end by themselves.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include <retinue/process_pool.hpp>

#include "injected_faults.hpp"
#include "plan.hpp"

namespace retinue_chaos {

/// Lets stopped workers go on: those that the fault thread has stopped and those that stopped themselves. While it
/// lives, no worker stays stopped for more than some milliseconds. Calls `progress` when tasks have begun.
class Continuer {
 public:
  Continuer(retinue::ProcessPool& pool, std::function<void()> progress);
  Continuer(const Continuer&) = delete;
  Continuer& operator=(const Continuer&) = delete;
  ~Continuer();

 private:
  retinue::ProcessPool& pool_;
  std::function<void()> progress_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

/// Injects the faults of a round, each when so many tasks have ended, or when nothing ends for a while.
class FaultThread {
 public:
  FaultThread(const Round& round, retinue::ProcessPool& pool, InjectedFaults& injected, std::function<void()> progress);
  FaultThread(const FaultThread&) = delete;
  FaultThread& operator=(const FaultThread&) = delete;
  ~FaultThread();

  /// The owner threads have all they waited for: what is left of the plan follows at once. Waits for its end.
  void finish();

 private:
  void run();
  void wait_for(std::uint32_t ended);
  void inject(const Fault& fault);
  bool is_over() const;
  void kill_one(const Fault& fault);
  void stop_one(const Fault& fault);
  void exhaust_descriptors(const Fault& fault);
  void exhaust_memory(const Fault& fault);
  void run_other_pool(const Fault& fault);
  void fork_owner(const Fault& fault);

  const Round& round_;
  retinue::ProcessPool& pool_;
  InjectedFaults& injected_;
  std::function<void()> progress_;
  std::atomic<bool> hurry_{false};
  std::thread thread_;
};

}  // namespace retinue_chaos
