// Running an order of the plan, and the serial run it is compared with.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <retinue/process_pool.hpp>

#include "plan.hpp"
#include "record.hpp"

namespace retinue_chaos {

/// A task under way, whatever it results in.
class Pending {
 public:
  virtual ~Pending() = default;
  /// Waits for its end; false if that did not come within half a second.
  virtual bool settle(Record& record) = 0;
  virtual bool cancel(bool force) = 0;
  virtual void count_end(std::atomic<int>& callbacks) = 0;
};

/// How a map as a whole ended.
struct MapEnd {
  const Order* order = nullptr;
  std::uint32_t delivered = 0;
  bool out_of_order = false;
  Record error;  ///< End::none: it did not throw
};

/// The orders of one owner thread, one after the other.
class OwnerThread {
 public:
  OwnerThread(const std::vector<Order>& orders, retinue::ProcessPool& pool, std::span<Record> records,
              std::function<void()> progress);

  /// `read_later`: futures are kept, for `read_rest` to read.
  void run(bool read_later);
  void read_rest();
  const std::vector<std::unique_ptr<MapEnd>>& maps() const { return maps_; }

 private:
  struct Waiting {
    const PlannedTask* planned;
    std::unique_ptr<Pending> pending;
    std::uint32_t cancel_at;
    bool cancel_due;
  };

  void submit_all(const Order& order, bool read_later);
  void cancel(Waiting& waiting);
  void cancel_what_lingers();
  void read(Waiting& waiting);
  void map(const Order& order);
  template <class Outcomes>
  void walk(Outcomes outcomes, MapEnd& end);

  const std::vector<Order>& orders_;
  retinue::ProcessPool& pool_;
  std::span<Record> records_;
  std::function<void()> progress_;
  std::vector<Waiting> waiting_;
  std::size_t next_to_read_ = 0;
  std::vector<std::unique_ptr<Pending>> kept_;  ///< of tasks that may run yet: their pool was closed under them
  std::vector<std::unique_ptr<MapEnd>> maps_;
};

/// What the task comes to by itself: run in this thread, a behaviour that would harm the process taken for what it
/// says.
void run_serially(const Task& task, Record& record);

}  // namespace retinue_chaos
