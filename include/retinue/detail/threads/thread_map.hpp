// A map over the threads of a ThreadPool.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/access.hpp>
#include <retinue/detail/tasks/call.hpp>
#include <retinue/detail/tasks/inputs.hpp>
#include <retinue/detail/threads/thread_core.hpp>
#include <retinue/detail/tasks/order.hpp>
#include <retinue/map_range.hpp>
#include <retinue/task_options.hpp>

namespace retinue::detail {

/// One item under way: what does not depend on types.
struct MapCell {
  enum CellState : std::uint32_t { kPending, kArmed, kDone };
  std::atomic<std::uint32_t> state{kPending};  // for maps in the order of inputs
  MapCell* next = nullptr;                     // in the stack of finished cells, for the others
  std::uint64_t index = 0;
};

/// The part of a map that its consumer shares with the threads that run its items, in whose hands it may
/// outlive the map. A *runner* is one task of the pool that takes item after item; there are as many as have
/// something to do, at most one for each thread. An item is taken alone, so none waits behind a slow one.
///
/// The consumer (one thread at a time) calls all but `work` and `runner_lost`.
class MapFlow : public std::enable_shared_from_this<MapFlow> {
 public:
  MapFlow(std::shared_ptr<ThreadCore> core, Order order, std::size_t look_ahead);
  MapFlow(const MapFlow&) = delete;
  MapFlow& operator=(const MapFlow&) = delete;
  virtual ~MapFlow();

  /// True if inputs should be read now; then as long as `room()`.
  bool wants_inputs() const noexcept { return !refused_ && 2 * under_way() <= window_; }
  bool room() const noexcept { return under_way() < window_; }
  /// Counts the inputs read since the last call and, if it may, lets the window grow if they were consumed fast.
  void inputs_read(bool may_grow) noexcept;
  /// Hands an item to the threads.
  void publish(MapCell& cell);
  /// Waits for the next finished item; nullptr if none is under way. Throws PoolClosed if the pool was shut
  /// down before it could run what was published, ResourceExhausted if no thread could be started for it.
  MapCell* next_finished();
  /// True if the pool took no more items.
  bool refused() const noexcept { return refused_; }
  /// Throws why it took no more.
  [[noreturn]] void throw_refusal() const;
  /// No item starts any more; those that run end unseen.
  void abandon() noexcept;
  /// No item starts any more, and those that run have ended. For the last call.
  void abandon_and_wait() noexcept;

  /// A runner's life, in a thread of the pool; then its end if it was cancelled.
  void work() noexcept;
  void runner_lost() noexcept;

 protected:
  /// To be called first by the destructor of a derived class, which any of its holders may run.
  void begin_end() const noexcept;
  /// Runs an item and keeps its outcome in the cell.
  virtual void run_cell(MapCell& cell) noexcept = 0;

 private:
  static constexpr std::size_t kLargestWindow = 4096;
  std::uint64_t under_way() const noexcept { return published_ - consumed_; }
  MapCell* claim() noexcept;
  bool unclaimed() const noexcept {
    return next_.load(std::memory_order_seq_cst) < filled_.load(std::memory_order_seq_cst);
  }
  void launch();
  void finish(MapCell& cell) noexcept;
  bool run_one() noexcept;
  bool ready(MapCell* expected) noexcept;
  bool arm(MapCell* expected) noexcept;
  bool lost() const noexcept;
  void wait(MapCell* expected);
  std::uint32_t doorbell_mask() const noexcept;

  const std::shared_ptr<ThreadCore> core_;
  const Order order_;
  const bool fixed_window_;
  std::size_t window_;
  const std::size_t capacity_;
  const std::unique_ptr<std::atomic<MapCell*>[]> ring_;
  // Of the consumer alone.
  std::uint64_t published_ = 0;
  std::uint64_t consumed_ = 0;
  std::uint64_t window_start_ = 0;
  Clock::time_point window_since_ = Clock::now();
  MapCell* finished_ = nullptr;  // taken from done_, oldest first
  bool refused_ = false;
  std::exception_ptr launch_error_;  // why, if the pool is open

  alignas(64) std::atomic<std::uint64_t> filled_{0};  // items published
  std::atomic<std::uint32_t> active_{0};              // runners
  std::atomic<bool> lost_runners_{false};
  alignas(64) std::atomic<std::uint64_t> next_{0};   // the first item that nobody has taken
  alignas(64) std::atomic<MapCell*> done_{nullptr};  // finished cells, newest first; kSleeping if its consumer sleeps
};

/// Gives up one of its holds, in the library for the sanitizers' sake: see thread_order.hpp.
void release_flow(std::shared_ptr<MapFlow> flow) noexcept;

/// The flow with its function and cells.
template <class T, class F, class... E>
class TypedFlow final : public MapFlow {
 public:
  struct Cell : MapCell {
    std::optional<std::tuple<E...>> elements;
    Outcome<T> outcome;
  };

  template <class G>
  TypedFlow(std::shared_ptr<ThreadCore> core, Order order, std::size_t look_ahead, G&& f)
      : MapFlow(std::move(core), order, look_ahead), f_(std::forward<G>(f)) {}
  ~TypedFlow() override { this->begin_end(); }

  Cell& free_cell() {
    if (free_.empty()) return cells_.emplace_back();
    Cell& cell = *free_.back();
    free_.pop_back();
    return cell;
  }
  void return_cell(Cell& cell) { free_.push_back(&cell); }

 private:
  void run_cell(MapCell& base) noexcept override {
    auto& cell = static_cast<Cell&>(base);
    try {
      auto value = std::apply([this](E&... e) -> T { return map_call<F, E...>(f_, std::move(e)...); }, *cell.elements);
      cell.outcome.set_value(cell.index, std::move(value));
    } catch (...) {
      cell.outcome.set_error(cell.index, std::current_exception());
    }
    cell.elements.reset();
  }

  const F f_;
  std::deque<Cell> cells_;  // grown by the consumer; threads know single cells
  std::vector<Cell*> free_;
};

/// The consumer's end.
template <class T, class F, class... Rs>
class ThreadMap final : public MapSource<T> {
  using Flow = TypedFlow<T, F, Element<Rs>...>;

 public:
  template <class G>
  ThreadMap(const std::shared_ptr<ThreadCore>& core, const TaskOptions& options, Order order, G&& f, Rs&&... inputs)
      : runs_(as_runs(inputs...)),
        inputs_(std::in_place, std::forward<Rs>(inputs)...),
        flow_(std::make_shared<Flow>(core, order, ChosenOptions(options).look_ahead, std::forward<G>(f))) {}
  ~ThreadMap() override {
    if (runs_ != nullptr && runs_->are_read_until_the_end()) flow_->abandon_and_wait();
    else flow_->abandon();
    release_flow(std::move(flow_));
  }

  bool next(Outcome<T>& into) override {
    if (over_) return false;
    if (!input_error_ && !ended_ && flow_->wants_inputs()) read();
    MapCell* const base = flow_->next_finished();
    if (base == nullptr) {
      over_ = true;
      if (input_error_) std::rethrow_exception(input_error_);
      if (!ended_) flow_->throw_refusal();
      return false;
    }
    auto& cell = static_cast<typename Flow::Cell&>(*base);
    into = std::move(cell.outcome);
    flow_->return_cell(cell);
    return true;
  }

 private:
  // Inputs are read here, in the consumer's thread and outside of locks. What reading throws is kept until
  // the results before it have been delivered.
  void read() {
    try {
      while (flow_->room() && !flow_->refused()) {
        auto& cell = flow_->free_cell();
        if (!inputs_.next(
                [&cell](auto&&... e) { cell.elements.emplace(element_of<Rs>(std::forward<decltype(e)>(e))...); })) {
          flow_->return_cell(cell);
          ended_ = true;
          break;
        }
        flow_->publish(cell);
      }
    } catch (...) {
      input_error_ = std::current_exception();
    }
    flow_->inputs_read(runs_ == nullptr || runs_->have_settled());
  }

  const InputRuns* runs_;  // nullptr if the inputs are none
  Inputs<Rs...> inputs_;
  std::shared_ptr<Flow> flow_;
  std::exception_ptr input_error_;
  bool ended_ = false;
  bool over_ = false;
};

}  // namespace retinue::detail
