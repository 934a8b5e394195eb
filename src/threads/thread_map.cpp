#include <retinue/detail/threads/thread_map.hpp>

#include <algorithm>
#include <limits>

#include <retinue/detail/tasks/owner_doorbell.hpp>

#include "tasks/wait_place.hpp"
#include "system/pause.hpp"

namespace retinue::detail {
namespace {

using namespace std::chrono_literals;

// As the first item that nobody has taken: beyond all there can be.
constexpr std::uint64_t kNoneLeft = std::numeric_limits<std::uint64_t>::max() / 2;

// In place of the newest finished cell: the consumer sleeps, whoever finishes the next one rings.
MapCell sleeping;

// One runner in the queue of the pool.
class Runner final : public ThreadTask {
 public:
  Runner(ThreadCore* core, std::shared_ptr<MapFlow> flow) noexcept
      : ThreadTask(core, std::chrono::nanoseconds(0)), flow_(std::move(flow)) {}
  static void* operator new(std::size_t bytes) { return allocate_task_memory(bytes); }
  static void operator delete(void* memory) noexcept { free_task_memory(memory, sizeof(Runner)); }

 protected:
  Phase run() noexcept override {
    flow_->work();
    release_flow(std::move(flow_));
    return kValue;
  }
  void drop_call(std::exception_ptr) noexcept override {
    flow_->runner_lost();
    release_flow(std::move(flow_));
  }
  void drop_outcome(Phase) noexcept override {}

 private:
  std::shared_ptr<MapFlow> flow_;
};

void start_runner(const std::shared_ptr<ThreadCore>& core, std::shared_ptr<MapFlow> flow) {
  Ref<Runner> runner(new Runner(core.get(), std::move(flow)));
  try {
    enqueue(*core, runner.get());
  } catch (...) {
    runner->release();  // the queue's reference
    throw;
  }
}

}  // namespace

MapFlow::MapFlow(std::shared_ptr<ThreadCore> core, Order order, std::size_t look_ahead)
    : core_(std::move(core)),
      order_(order),
      fixed_window_(look_ahead != 0),
      window_(fixed_window_ ? look_ahead
                            : std::min<std::size_t>(std::size_t{4} * worker_count(*core_), kLargestWindow)),
      capacity_(std::max(window_, fixed_window_ ? std::size_t{1} : kLargestWindow)),
      ring_(std::make_unique<std::atomic<MapCell*>[]>(capacity_)) {
  OwnerDoorbell::of_this_process();  // so that ringing it cannot fail
}

MapFlow::~MapFlow() { order_before(core_.get()); }
void MapFlow::begin_end() const noexcept { order_after(this); }

void MapFlow::inputs_read(bool may_grow) noexcept {
  if (published_ - window_start_ < window_) return;
  // A whole window was consumed. Tiny tasks get a window that keeps all busy for some time while the consumer
  // sleeps; where tasks slow down, it shrinks again, so that little is read ahead.
  const auto now = Clock::now();
  const auto took = now - window_since_;
  window_since_ = now;
  window_start_ = published_;
  if (fixed_window_) return;
  if (took < 2ms && may_grow) window_ = std::min(window_ * 2, kLargestWindow);
  const auto least = std::size_t{4} * worker_count(*core_);
  if (took > 100ms && window_ / 2 >= least) window_ /= 2;
}

void MapFlow::publish(MapCell& cell) {
  cell.state.store(MapCell::kPending, std::memory_order_relaxed);
  cell.index = published_;
  ring_[published_ % capacity_].store(&cell, std::memory_order_relaxed);
  order_before(&cell);
  filled_.store(++published_, std::memory_order_seq_cst);
  const std::uint32_t active = active_.load(std::memory_order_seq_cst);
  // With some runners already there, more come only if the items are not taken at once.
  if (active < worker_count(*core_) &&
      filled_.load(std::memory_order_relaxed) - next_.load(std::memory_order_relaxed) > active) {
    launch();
  }
}

void MapFlow::launch() {
  active_.fetch_add(1, std::memory_order_seq_cst);
  try {
    start_runner(core_, shared_from_this());
  } catch (const PoolClosed&) {
    active_.fetch_sub(1, std::memory_order_seq_cst);
    refused_ = true;
  } catch (...) {
    active_.fetch_sub(1, std::memory_order_seq_cst);
    if (active_.load(std::memory_order_seq_cst) != 0) return;  // slower, by those there are
    launch_error_ = std::current_exception();
    refused_ = true;
  }
}

void MapFlow::throw_refusal() const {
  if (launch_error_) std::rethrow_exception(launch_error_);
  throw PoolClosed("the ThreadPool was shut down before this map had read and run all its inputs");
}

// The cell is read before the claim: once the claim succeeds the ring's entry may be used for another item.
MapCell* MapFlow::claim() noexcept {
  std::uint64_t next = next_.load(std::memory_order_seq_cst);
  for (;;) {
    if (next >= filled_.load(std::memory_order_seq_cst)) return nullptr;
    MapCell* const cell = ring_[next % capacity_].load(std::memory_order_relaxed);
    if (!next_.compare_exchange_weak(next, next + 1, std::memory_order_seq_cst)) continue;
    order_after(cell);
    return cell;
  }
}

void MapFlow::finish(MapCell& cell) noexcept {
  order_before(&cell.state);
  if (order_ == Order::inputs) {
    const auto before = cell.state.exchange(MapCell::kDone, std::memory_order_acq_rel);
    if (before == MapCell::kArmed) OwnerDoorbell::of_this_process().ring(doorbell_mask());
    return;
  }
  MapCell* newest = done_.load(std::memory_order_relaxed);
  do {
    cell.next = newest == &sleeping ? nullptr : newest;
  } while (!done_.compare_exchange_weak(newest, &cell, std::memory_order_acq_rel, std::memory_order_relaxed));
  if (newest == &sleeping) OwnerDoorbell::of_this_process().ring(doorbell_mask());
}

bool MapFlow::run_one() noexcept {
  MapCell* const cell = claim();
  if (cell == nullptr) return false;
  run_cell(*cell);
  finish(*cell);
  return true;
}

void MapFlow::work() noexcept {
  const auto start = Clock::now();
  for (;;) {
    for (unsigned items = 1; run_one(); ++items) {
      // Others wait for a thread: after a fair share go to the end of the queue.
      if (!work_waiting(*core_) || (items % 32 != 0 && Clock::now() - start < 500us)) continue;
      try {
        start_runner(core_, shared_from_this());
        return;
      } catch (...) {  // no way to queue up: stay
      }
    }
    for (int i = 0; i < 40 && !unclaimed(); ++i) cpu_pause(4U);
    if (unclaimed()) continue;
    active_.fetch_sub(1, std::memory_order_seq_cst);
    if (!unclaimed()) return;
    active_.fetch_add(1, std::memory_order_seq_cst);
  }
}

void MapFlow::runner_lost() noexcept {
  lost_runners_.store(true, std::memory_order_seq_cst);
  active_.fetch_sub(1, std::memory_order_seq_cst);
  OwnerDoorbell::of_this_process().ring(doorbell_mask());
}

void release_flow(std::shared_ptr<MapFlow> flow) noexcept {
  order_before(flow.get());
  flow.reset();
}

void MapFlow::abandon() noexcept { next_.store(kNoneLeft, std::memory_order_seq_cst); }

// What was claimed before the exchange is run to its end by whoever did; nothing is claimed after it.
void MapFlow::abandon_and_wait() noexcept {
  const std::uint64_t claimed = std::min(next_.exchange(kNoneLeft, std::memory_order_seq_cst), published_);
  while (consumed_ < claimed && !is_made_elsewhere(*core_)) next_finished();
}

MapCell* MapFlow::next_finished() {
  if (!takes_tasks(*core_) && !on_thread_of(*core_)) refused_ = true;
  if (under_way() == 0) return nullptr;
  MapCell* cell = nullptr;
  if (order_ == Order::inputs) {
    cell = ring_[consumed_ % capacity_].load(std::memory_order_relaxed);
    if (!ready(cell)) wait(cell);
  } else {
    if (!ready(nullptr)) wait(nullptr);
    cell = finished_;
    finished_ = cell->next;
  }
  ++consumed_;
  order_after(&cell->state);
  return cell;
}

bool MapFlow::ready(MapCell* expected) noexcept {
  if (expected != nullptr) return expected->state.load(std::memory_order_acquire) == MapCell::kDone;
  if (finished_ != nullptr) return true;
  MapCell* newest = done_.load(std::memory_order_relaxed);
  if (newest == nullptr || newest == &sleeping) return false;
  newest = done_.exchange(nullptr, std::memory_order_acq_rel);
  while (newest != nullptr) {
    MapCell* const older = std::exchange(newest->next, finished_);
    finished_ = std::exchange(newest, older);
  }
  return true;
}

bool MapFlow::arm(MapCell* expected) noexcept {
  if (expected != nullptr) {
    std::uint32_t state = MapCell::kPending;
    return expected->state.compare_exchange_strong(state, MapCell::kArmed, std::memory_order_acq_rel) ||
           state == MapCell::kArmed;
  }
  MapCell* newest = nullptr;
  return done_.compare_exchange_strong(newest, &sleeping, std::memory_order_acq_rel) || newest == &sleeping;
}

// Nobody will run what is published: the pool was shut down, or has no thread and gets none, or this is a forked child.
bool MapFlow::lost() const noexcept {
  if (active_.load(std::memory_order_seq_cst) == 0) {
    return unclaimed() && (refused_ || lost_runners_.load(std::memory_order_seq_cst));
  }
  return is_made_elsewhere(*core_);
}

void MapFlow::wait(MapCell* expected) {
  // A thread of the pool runs its map's own items before it sleeps; they are what it waits for.
  if (on_thread_of(*core_)) {
    while (!ready(expected)) {
      if (!run_one()) break;
    }
  }
  thread_local AdaptiveSpin spin(3us, 30us);
  if (ready(expected) || spin.until([&] { return ready(expected); })) return;

  OwnerDoorbell& doorbell = OwnerDoorbell::of_this_process();
  const AwayFromPlace away;
  // With many tiny items under way, waking up for the next one would cost more than running it: sleep, but
  // not long, until half of them are done.
  bool far = order_ == Order::inputs && under_way() >= 64;
  while (!ready(expected)) {
    if (lost()) throw_refusal();
    const std::uint32_t seen = doorbell.value();
    MapCell* const target =
        far ? ring_[(consumed_ + under_way() / 2) % capacity_].load(std::memory_order_relaxed) : expected;
    if (!arm(target)) {
      far = false;
      continue;
    }
    if (ready(expected)) return;
    if (lost()) continue;
    if (far) {
      doorbell.wait(seen, Clock::now() + 1ms, doorbell_mask());
      far = false;
    } else {
      doorbell.wait(seen, std::nullopt, doorbell_mask());
    }
  }
}

std::uint32_t MapFlow::doorbell_mask() const noexcept {
  return std::uint32_t{1} << ((reinterpret_cast<std::uintptr_t>(this) >> 6) % 31);
}

}  // namespace retinue::detail
