// Where parts of the engine learn that a process has died.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include <sys/types.h>

namespace retinue::detail {

/// A process that is gone for good: it writes shared memory no more.
struct ProcessDeath {
  static constexpr unsigned kNoWorker = ~0u;

  pid_t pid = 0;
  int signal = 0;               ///< that ended it, or 0
  int exit_code = -1;           ///< or -1 if it was ended by a signal, or if that is not known
  unsigned worker = kNoWorker;  ///< its index among the workers of its pool, if it was one
  bool left = false;  ///< a worker that ended as it was to: it had done its share, or its pool has ended or broken
};

/// One death on its way to the subscribers. Kept by the publisher until `Liveness::notify` says that all were notified.
class DeathNotice {
 public:
  explicit DeathNotice(const ProcessDeath& death) noexcept : death_(death) {}
  const ProcessDeath& death() const noexcept { return death_; }

 private:
  friend class Liveness;
  ProcessDeath death_;
  std::uint64_t notified_ = 0;  // number of the last subscription that was notified ...
  std::uint64_t last_ = 0;      // ... and of the last that is to; 0 before the first attempt
};

/// Notifies its subscribers of each death, in the order in which they have subscribed, in the thread that publishes.
///
/// | which             | who publishes                                   | with which lock                                  |
/// | ----------------- | ----------------------------------------------- | ------------------------------------------------ |
/// | of_this_process() | a pool's service thread, or who ends the pool   | none: a subscriber may use pools and futures     |
/// | a pool's own      | its Supervisor                                  | the pool's mutex: for the parts of the pool only |
///
/// At of_this_process() a death is published once: when the process has been reaped, and the task of a worker has ended
/// or waits to be run again. Workers whose fork server was killed die with it; they are published when their pool ends.
///
/// A callback may subscribe (and is notified of later deaths) and end any subscription, its own too. It may throw
/// bad_alloc for want of memory: then those after it wait, and are called when the publisher tries again, beginning with
/// it. Other exceptions are dropped. It must not wait for another death.
///
/// Thread-safe. Callbacks of one subscription never overlap; ending a subscription in another thread waits for one that
/// runs, so do not hold then what the callback may wait for.
///
/// After a fork the child has none of the parent's subscriptions: `of_this_process` is another object there, and of its parent's
/// `notify` does nothing, `subscribe` throws, and a Subscription ends without a look at it.
class Liveness {
  struct Subscriber;

 public:
  using Callback = std::function<void(const ProcessDeath&)>;

  /// Ends when it is destroyed: after that the callback does not run any more, and is destroyed; of one that ends itself, when
  /// it returns. May outlive the Liveness. For one thread at a time.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&&) noexcept = default;
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription() { end(); }
    void end() noexcept;

   private:
    friend class Liveness;
    explicit Subscription(std::shared_ptr<Subscriber> subscriber) noexcept : subscriber_(std::move(subscriber)) {}
    std::shared_ptr<Subscriber> subscriber_;
  };

  /// That of the calling process, made on first use. Throws bad_alloc.
  static Liveness& of_this_process();

  Liveness() noexcept;
  Liveness(const Liveness&) = delete;
  Liveness& operator=(const Liveness&) = delete;

  /// Throws bad_alloc, and Error in a forked child of the process that made this.
  [[nodiscard]] Subscription subscribe(Callback callback);
  /// Publishes. False if a subscriber had no memory for it: call again, with the same notice. Never throws.
  bool notify(DeathNotice& notice) noexcept;

 private:
  using Subscribers = std::vector<std::shared_ptr<Subscriber>>;

  const std::uint64_t generation_;
  std::mutex mutex_;  // never held while a callback runs
  std::shared_ptr<const Subscribers>
      subscribers_;                  // replaced, never changed; ended ones go with the next that subscribes
  std::uint64_t subscriptions_ = 0;  // ever
};

}  // namespace retinue::detail
