#include "fault.hpp"

#include <atomic>

namespace retinue::detail {
namespace {

std::atomic<FaultInjector> fault_injector{nullptr};
std::atomic<ProcessRole> role{ProcessRole::owner};

}  // namespace

void set_fault_injector(FaultInjector injector) noexcept { fault_injector.store(injector, std::memory_order_release); }

int injected_fault(const char* call) noexcept {
  const FaultInjector injector = fault_injector.load(std::memory_order_relaxed);
  return injector == nullptr ? 0 : injector(call);
}

ProcessRole process_role() noexcept { return role.load(std::memory_order_relaxed); }
void set_process_role(ProcessRole now) noexcept { role.store(now, std::memory_order_relaxed); }

}  // namespace retinue::detail
