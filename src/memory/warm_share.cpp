#include "warm_share.hpp"

#include <algorithm>

namespace retinue::detail {

IdlePeriods::Look IdlePeriods::look(std::uint64_t uses, Clock::time_point now) noexcept {
  if (end_ && now < *end_) return {};
  const Look look{end_.has_value(), uses == uses_before_};
  end_ = now + std::chrono::seconds(2);
  uses_before_ = uses;
  return look;
}

void WarmShare::look(std::uint64_t kept, std::uint64_t arenas, bool limited) noexcept {
  const auto memory = memory_.look();
  is_short_ = memory && memory->is_short();
  std::uint64_t all = 0;
  if (wanted_) all = *wanted_;
  else if (memory && !limited) all = (memory->available + kept) / 16;
  if (is_short_) all = 0;
  of_owner_ = all / 2;
  of_worker_ = all / 2 / std::max<std::uint64_t>(arenas, 1);
}

}  // namespace retinue::detail
