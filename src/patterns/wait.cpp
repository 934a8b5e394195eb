#include <retinue/wait.hpp>

namespace retinue::detail {

bool wait_for_all(std::span<Completion* const> set, const Deadline& deadline) {
  for (Completion* const completion : set) {
    if (!completion->done() && !completion->wait(deadline)) return false;
  }
  return true;
}

std::optional<std::size_t> wait_for_first(std::span<Completion* const> set, const Deadline& deadline) {
  if (set.empty()) throw Error("wait_any of no futures at all would never end");
  if (!wait_for_any(set, deadline)) return std::nullopt;
  for (std::size_t i = 0; i < set.size(); ++i) {
    if (set[i]->done()) return i;
  }
  return std::nullopt;
}

}  // namespace retinue::detail
