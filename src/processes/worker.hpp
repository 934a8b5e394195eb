// A worker process: claims tasks and runs them, one at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <signal.h>
#include <sys/types.h>
#include <vector>

#include <retinue/detail/processes/process_hooks.hpp>

#include "memory/region.hpp"
#include "system/confinement.hpp"
#include "control.hpp"

namespace retinue::detail {

class OwnerDoorbell;

/// All that the fork server and the workers of a pool need to know. Made by the owner before the fork,
/// constant afterwards, copied by the forks.
struct PoolPlan {
  PoolMemory memory;
  Region* region = nullptr;  ///< the owner's; its workers use only `at`, `memfd` and `modules`
  OwnerDoorbell* owner_doorbell = nullptr;
  std::function<void()> initializer;
  const ProcessHooks* hooks = nullptr;
  std::uint64_t max_tasks = 0;
  std::size_t max_memory = 0;
  Confinement confinement;
  std::optional<std::vector<int>> kept_descriptors;  ///< of those inherited, ascending; nothing: all
  bool break_on_death = false;
  std::chrono::nanoseconds longest_spin{0};
  unsigned cpus = 1;
  pid_t owner = 0;
  sigset_t signal_mask{};  ///< the owner's, for the workers

  /// Workers, fork server and threads of the owner -> the service thread.
  void ring_service() const noexcept { memory.control->service_doorbell.ring(); }
  /// Owner -> fork server.
  void ring_server() const noexcept { memory.control->server_doorbell.ring(); }
};

/// Makes a call that a runtime asked for.
template <class... A>
void call(void (*hook)(A...) noexcept, A... arguments) noexcept {
  if (hook != nullptr) hook(arguments...);
}

/// What workers are called in `ps`.
constexpr const char* kWorkerName = "retinue-worker";

/// Exit codes of workers that leave by their own will.
constexpr int kExitRetired = 0;
constexpr int kExitInitializerFailed = 121;  // or it could not begin

/// Runs worker `index` in a process just forked by the fork server `parent`. Never returns, never throws.
[[noreturn]] void run_worker(const PoolPlan& plan, unsigned index, pid_t parent) noexcept;

}  // namespace retinue::detail
