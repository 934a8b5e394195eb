#include "liveness.hpp"

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>

#include <retinue/error.hpp>

#include "system/fork_watch.hpp"

namespace retinue::detail {

struct Liveness::Subscriber {
  Subscriber(std::uint64_t count, Callback call) noexcept
      : number(count), generation(fork_generation()), callback(std::move(call)) {}

  const std::uint64_t number;  // from 1 on
  const std::uint64_t generation;
  std::recursive_mutex running;  // held while the callback runs, and by who ends it: may be the callback itself
  std::atomic<bool> ended{false};
  bool runs = false;  // guarded by `running`
  Callback callback;  // likewise

  // Without the callback, which may have much in its hands.
  void drop() noexcept { Callback().swap(callback); }
};

namespace {
// A forked child inherits the pointer, and makes another when it first asks; the old one stays, in reach for leak checkers.
struct OfProcess {
  std::uint64_t generation;
  OfProcess* before;
  Liveness liveness;
};
std::atomic<OfProcess*> of_process{nullptr};
}  // namespace

Liveness& Liveness::of_this_process() {
  const std::uint64_t generation = fork_generation();
  OfProcess* known = of_process.load(std::memory_order_acquire);
  if (known != nullptr && known->generation == generation) return known->liveness;
  auto fresh = std::make_unique<OfProcess>(generation, known);
  if (of_process.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel))
    return fresh.release()->liveness;
  return known->liveness;  // another thread was quicker
}

Liveness::Liveness() noexcept : generation_(fork_generation()) {}

Liveness::Subscription Liveness::subscribe(Callback callback) {
  if (generation_ != fork_generation())
    throw Error("a forked child cannot subscribe to the deaths of its parent's processes");
  auto next = std::make_shared<Subscribers>();
  const std::lock_guard lock(mutex_);
  if (subscribers_ != nullptr) {
    next->reserve(subscribers_->size() + 1);
    for (const auto& subscriber : *subscribers_)
      if (!subscriber->ended.load(std::memory_order_acquire)) next->push_back(subscriber);
  }
  next->push_back(std::make_shared<Subscriber>(subscriptions_ + 1, std::move(callback)));
  ++subscriptions_;
  Subscription subscription(next->back());
  subscribers_ = std::move(next);
  return subscription;
}

bool Liveness::notify(DeathNotice& notice) noexcept {
  if (generation_ != fork_generation()) return true;
  std::shared_ptr<const Subscribers> subscribers;
  {
    const std::lock_guard lock(mutex_);
    subscribers = subscribers_;
    if (notice.last_ == 0) notice.last_ = subscriptions_;
  }
  if (subscribers == nullptr) return true;
  for (const auto& subscriber : *subscribers) {
    if (subscriber->number <= notice.notified_) continue;
    if (subscriber->number > notice.last_) break;
    const std::lock_guard running(subscriber->running);
    if (subscriber->ended.load(std::memory_order_acquire)) continue;
    subscriber->runs = true;
    bool delivered = true;
    try {
      subscriber->callback(notice.death());
    } catch (const std::bad_alloc&) {
      delivered = false;
    } catch (...) {
      // Promised: it is dropped.
    }
    if (generation_ != fork_generation()) return true;  // it forked, and this is the child
    subscriber->runs = false;
    if (subscriber->ended.load(std::memory_order_acquire)) subscriber->drop();
    else if (!delivered) return false;
    notice.notified_ = subscriber->number;
  }
  return true;
}

Liveness::Subscription& Liveness::Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    end();
    subscriber_ = std::move(other.subscriber_);
  }
  return *this;
}

void Liveness::Subscription::end() noexcept {
  const std::shared_ptr<Subscriber> subscriber = std::move(subscriber_);
  if (subscriber == nullptr || subscriber->generation != fork_generation()) return;
  subscriber->ended.store(true, std::memory_order_release);
  const std::lock_guard running(subscriber->running);
  if (!subscriber->runs) subscriber->drop();
}

}  // namespace retinue::detail
