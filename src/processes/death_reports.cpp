#include "death_reports.hpp"

#include <chrono>
#include <mutex>
#include <new>
#include <utility>

namespace retinue::detail {

DeathReports::DeathReports(PoolLock& lock, Liveness& deaths)
    : lock_(lock), subscription_(deaths.subscribe([this](const ProcessDeath& death) { add(death); })) {}

void DeathReports::add(const ProcessDeath& death) { unreported_.emplace_back(death); }

bool DeathReports::begin() noexcept {
  const std::lock_guard lock(lock_.mutex());
  return !unreported_.empty() && !std::exchange(reporting_, true);
}

Deadline DeathReports::report() noexcept {
  if (!begin()) return std::nullopt;
  Deadline again;
  for (bool more = true; more;) {
    DeathNotice* notice = nullptr;
    {
      const std::lock_guard lock(lock_.mutex());
      notice = &unreported_.front();  // stays where it is while others are added behind it
    }
    bool heard = false;
    try {
      heard = Liveness::of_this_process().notify(*notice);
    } catch (const std::bad_alloc&) {
      // Nobody could have subscribed; but somebody may, before the next attempt.
    }
    if (!heard) again = Clock::now() + std::chrono::milliseconds(10);
    const std::lock_guard lock(lock_.mutex());
    if (heard) unreported_.pop_front();
    more = heard && !unreported_.empty();
    if (!more) reporting_ = false;
  }
  return again;
}

}  // namespace retinue::detail
