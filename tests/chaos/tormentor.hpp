// The threads that inflict the faults of a round, and end those that end by themselves.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include <retinue/process_pool.hpp>

#include "inflicted.hpp"
#include "plan.hpp"

namespace retinue_chaos {

/// Lets stopped workers go on: those that the tormentor has stopped and those that stopped themselves. While it lives,
/// no worker stays stopped for more than some milliseconds. Calls `progress` when tasks have begun.
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

/// Strikes the blows of a round, each when so many tasks have ended, or when nothing ends for a while.
class Tormentor {
 public:
  Tormentor(const Round& round, retinue::ProcessPool& pool, Inflicted& inflicted, std::function<void()> progress);
  Tormentor(const Tormentor&) = delete;
  Tormentor& operator=(const Tormentor&) = delete;
  ~Tormentor();

  /// The owner threads have all they waited for: what is left of the plan follows at once. Waits for its end.
  void finish();

 private:
  void run();
  void wait_for(std::uint32_t ended);
  void strike(const Blow& blow);
  bool is_over() const;
  void kill_one(const Blow& blow);
  void stop_one(const Blow& blow);
  void exhaust_descriptors(const Blow& blow);
  void exhaust_memory(const Blow& blow);
  void run_other_pool(const Blow& blow);
  void fork_owner(const Blow& blow);

  const Round& round_;
  retinue::ProcessPool& pool_;
  Inflicted& inflicted_;
  std::function<void()> progress_;
  std::atomic<bool> hurry_{false};
  std::thread thread_;
};

}  // namespace retinue_chaos
