// Who is notified when a worker process dies.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <retinue/detail/tasks/backend.hpp>

namespace retinue::detail {

/// Functions to call for each death. Thread-safe; no lock is held while one is called, so that it may subscribe and
/// unsubscribe.
class DeathSubscribers {
 public:
  using Function = std::function<void(const WorkerDeath&)>;

  Subscription add(Function function) {
    auto subscriber = std::make_shared<const Function>(std::move(function));
    const std::lock_guard lock(mutex_);
    std::erase_if(subscribers_, [](const Entry& each) { return each.function.expired(); });
    subscribers_.push_back({++last_number_, subscriber});
    return subscriber;
  }

  bool empty() const {
    const std::lock_guard lock(mutex_);
    return subscribers_.empty();
  }

  /// What a subscriber throws is dropped.
  void notify(const WorkerDeath& death) noexcept {
    for (std::uint64_t notified = 0;;) {
      std::shared_ptr<const Function> subscriber;
      {
        const std::lock_guard lock(mutex_);
        const auto next = std::ranges::upper_bound(subscribers_, notified, {}, &Entry::number);
        if (next == subscribers_.end()) return;
        notified = next->number;
        subscriber = next->function.lock();
      }
      try {
        if (subscriber) (*subscriber)(death);
      } catch (...) {  // promised
      }
    }
  }

 private:
  struct Entry {
    std::uint64_t number;
    std::weak_ptr<const Function> function;
  };
  mutable std::mutex mutex_;
  std::vector<Entry> subscribers_;  // by number
  std::uint64_t last_number_ = 0;
};

}  // namespace retinue::detail
