#include <retinue/detail/tasks/completion.hpp>
#include <retinue/detail/tasks/owner_doorbell.hpp>
#include <retinue/error.hpp>

#include "wait_place.hpp"
#include "system/fork_watch.hpp"

namespace retinue::detail {
namespace {

bool any_done(std::span<Completion* const> set) noexcept {
  for (Completion* const c : set) {
    if (c != nullptr && c->done()) return true;
  }
  return false;
}

// Lets the executors read what has finished, then looks.
bool look(std::span<Completion* const> set) noexcept {
  for (Completion* const c : set) {
    if (c == nullptr) continue;
    c->progress();
    if (c->done()) return true;
  }
  return false;
}

}  // namespace

WaitPlace*& place_of_this_thread() noexcept {
  thread_local WaitPlace* place = nullptr;
  return place;
}

bool wait_on(std::span<Completion* const> set, const Deadline& deadline, std::uint32_t mask) {
  using namespace std::chrono_literals;
  if (any_done(set)) return true;
  if (std::ranges::all_of(set, [](Completion* c) { return c == nullptr; })) return false;  // would never end

  // A timed wait must be over in time, so only one without an end runs a task of any length.
  WaitPlace* const place = place_of_this_thread();
  if (!deadline && place != nullptr && place->run_in_place(set)) return true;

  thread_local AdaptiveSpin spin(4us, 60us);
  if (spin.until([&] { return look(set) || (deadline && Clock::now() >= *deadline); })) return any_done(set);

  OwnerDoorbell& doorbell = OwnerDoorbell::of_this_process();
  for (Completion* const c : set)
    if (c != nullptr && &c->doorbell() != &doorbell && !c->done()) throw Error(kTwoCopies);  // nobody would ring here
  const AwayFromPlace away;
  for (;;) {
    const std::uint32_t seen = doorbell.value();
    for (Completion* const c : set) {
      if (c != nullptr && !c->arm()) return true;
    }
    if (look(set)) return true;
    if (!doorbell.wait(seen, deadline, mask)) return look(set);
  }
}

bool wait_for_any(std::span<Completion* const> set, const Deadline& deadline) {
  return wait_on(set, deadline, OwnerDoorbell::kEveryone);
}

}  // namespace retinue::detail
