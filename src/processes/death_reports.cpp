#include "death_reports.hpp"

#include <chrono>
#include <mutex>
#include <new>
#include <utility>

namespace retinue::detail {

DeathReports::DeathReports(PoolLock& lock, const OwnerProcess& owner, Liveness& deaths)
    : lock_(lock), owner_(owner), subscription_(deaths.subscribe([this](const ProcessDeath& death) { add(death); })) {}

void DeathReports::add(const ProcessDeath& death) { unreported_.push_back({DeathNotice(death), DeathNotice(death)}); }

bool DeathReports::begin() noexcept {
  const std::lock_guard lock(lock_.mutex());
  return !unreported_.empty() && !std::exchange(reporting_, true);
}

// False if a subscriber had no memory for it.
bool DeathReports::pass_on(Report& report, bool to_pool) noexcept {
  if (to_pool && !report.to_pool.death().left && !failures_.notify(report.to_pool)) return false;
  if (owner_.made_elsewhere()) return true;
  try {
    return Liveness::of_this_process().notify(report.to_process);
  } catch (const std::bad_alloc&) {
    return false;  // nobody could have subscribed; but somebody may, before the next attempt
  }
}

Deadline DeathReports::publish(bool to_pool) noexcept {
  if (!begin()) return std::nullopt;
  for (;;) {
    Report* report = nullptr;
    {
      const std::lock_guard lock(lock_.mutex());
      report = &unreported_.front();  // stays where it is while others are added behind it
    }
    const bool delivered = pass_on(*report, to_pool);
    if (owner_.made_elsewhere())
      return std::nullopt;  // a subscriber forked, and another thread may hold the mutex here for ever
    const std::lock_guard lock(lock_.mutex());
    if (delivered) unreported_.pop_front();
    if (delivered && !unreported_.empty()) continue;
    reporting_ = false;
    return delivered ? Deadline() : Clock::now() + std::chrono::milliseconds(10);
  }
}

}  // namespace retinue::detail
