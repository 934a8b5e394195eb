#include "orders.hpp"

#include <chrono>
#include <ranges>

#include <retinue/serial_executor.hpp>

#include "random.hpp"

namespace retinue_chaos {
namespace {

using namespace std::chrono_literals;

std::uint64_t sum_of(std::uint64_t value) { return value; }
std::uint64_t sum_of(const std::string& value) { return digest(value.data(), value.size()); }
std::uint64_t sum_of(const std::vector<std::uint64_t>& value) { return digest(value.data(), value.size() * 8); }
std::uint64_t sum_of(const retinue::SharedArray<std::uint64_t>& value) {
  return digest(value.data(), value.size() * 8);
}
std::uint64_t sum_of(const SlowText& value) { return sum_of(value.text); }
std::uint64_t sum_of(const RefusingText& value) { return sum_of(value.text); }

template <class R>
class PendingFuture : public Pending {
 public:
  explicit PendingFuture(retinue::Future<R> future) : future_(std::move(future)) {}
  bool settle(Record& record) override {
    if (future_.wait_for(500ms) != retinue::FutureStatus::ready) return false;
    try {
      record.note_value(sum(future_.get()));
    } catch (...) {
      record.note(std::current_exception());
    }
    return true;
  }
  bool cancel(bool force) override { return future_.cancel(force); }
  void count_end(std::atomic<int>& callbacks) override {
    future_.on_done([&callbacks](retinue::Future<R>& f) { callbacks.fetch_add(f.done() ? 1 : 100); });
  }

 protected:
  virtual std::uint64_t sum(const R& value) { return sum_of(value); }
  retinue::Future<R> future_;
};

template <class R>
std::unique_ptr<Pending> pending(retinue::Future<R> future) {
  return std::make_unique<PendingFuture<R>>(std::move(future));
}

/// With the array that the task writes to, which must be what the task says that it is.
class PendingSpan final : public PendingFuture<std::uint64_t> {
 public:
  PendingSpan(retinue::SharedArray<std::uint64_t> array, retinue::Future<std::uint64_t> future)
      : PendingFuture(std::move(future)), array_(std::move(array)) {}

 private:
  std::uint64_t sum(const std::uint64_t& value) override {
    const std::uint64_t seen = sum_of(array_);
    if (seen != value) throw Wrong("the owner does not see in its array what the task has written");
    return seen;
  }
  retinue::SharedArray<std::uint64_t> array_;
};

template <class Executor>
std::unique_ptr<Pending> start(Executor&& on, const Task& task) {
  switch (task.shape) {
    case Shape::number: return pending(on.submit(to_number, task));
    case Shape::made_text: return pending(on.submit(to_made_text, task));
    case Shape::text: return pending(on.submit(to_text, task, text_of(task.seed, task.size)));
    case Shape::numbers: return pending(on.submit(to_numbers, task, numbers_of(task.seed, task.size / 8)));
    case Shape::array: return pending(on.submit(to_array, task));
    case Shape::span: {
      retinue::SharedArray<std::uint64_t> array(task.size / 8 + 1);
      auto future = on.submit(to_span, task, array.span());
      return std::make_unique<PendingSpan>(std::move(array), std::move(future));
    }
    case Shape::slow:
      return pending(on.submit(to_slow, task, SlowText{text_of(task.seed, task.size), task.millis * 100}));
    case Shape::refusing:
      return pending(
          on.submit(to_refusing, task, RefusingText{text_of(task.seed, task.size), refusal_of(task), false}));
    case Shape::kCount: break;
  }
  throw std::logic_error("a task of no known shape");
}

}  // namespace

OwnerThread::OwnerThread(const std::vector<Order>& orders, retinue::ProcessPool& pool, std::span<Record> records,
                         std::function<void()> progress)
    : orders_(orders), pool_(pool), records_(records), progress_(std::move(progress)) {}

void OwnerThread::run(bool read_later) {
  for (const Order& order : orders_) {
    if (order.kind == Order::Kind::submits) submit_all(order, read_later);
    else map(order);
  }
}

void OwnerThread::submit_all(const Order& order, bool read_later) {
  std::uint32_t n = 0;
  for (const PlannedTask& planned : order.planned_tasks) {
    Record& record = records_[planned.task.index];
    try {
      auto pending =
          start(pool_.with({.timeout = std::chrono::milliseconds(planned.timeout_ms), .retries = planned.retries}),
                planned.task);
      if (planned.callback) pending->count_end(record.callbacks);
      waiting_.push_back({&planned, std::move(pending), n + planned.cancel_after, planned.cancel != Cancel::none});
    } catch (...) {
      record.note(std::current_exception());
      record.at_submit = true;
    }
    for (std::size_t i = next_to_read_; i < waiting_.size(); ++i)
      if (waiting_[i].cancel_due && waiting_[i].cancel_at <= n) cancel(waiting_[i]);
    while (!read_later && waiting_.size() - next_to_read_ > order.window) read(waiting_[next_to_read_++]);
    ++n;
    progress_();
  }
  for (std::size_t i = next_to_read_; i < waiting_.size(); ++i)
    if (waiting_[i].cancel_due) cancel(waiting_[i]);
  if (!read_later) read_rest();
}

void OwnerThread::read_rest() {
  while (next_to_read_ < waiting_.size()) read(waiting_[next_to_read_++]);
  waiting_.clear();
  next_to_read_ = 0;
}

void OwnerThread::cancel(Waiting& waiting) {
  Record& record = records_[waiting.planned->task.index];
  record.cancel_forced = waiting.planned->cancel == Cancel::forced;
  record.cancel_said = waiting.pending->cancel(record.cancel_forced);
  waiting.cancel_due = false;
}

// What is read may have lost its worker, and run again behind a task that never ends unless it is cancelled: by this thread,
// which would do so when it has read what it waits for.
void OwnerThread::cancel_what_lingers() {
  for (std::size_t i = next_to_read_; i < waiting_.size(); ++i)
    if (waiting_[i].cancel_due && waiting_[i].planned->cancel == Cancel::forced) cancel(waiting_[i]);
}

void OwnerThread::read(Waiting& waiting) {
  if (waiting.cancel_due && waiting.planned->cancel == Cancel::forced) cancel(waiting);
  Record& record = records_[waiting.planned->task.index];
  record.twice = record.end != End::none;
  while (!waiting.pending->settle(record)) cancel_what_lingers();
  if (record.end == End::closed) kept_.push_back(std::move(waiting.pending));
  waiting.pending.reset();
  progress_();
}

template <class Outcomes>
void OwnerThread::walk(Outcomes outcomes, MapEnd& end) {
  const Order& order = *end.order;
  const std::uint32_t first = order.planned_tasks.front().task.index;
  for (auto& outcome : outcomes) {
    Record& record = records_[first + outcome.index()];
    record.twice = record.end != End::none;
    if (order.kind == Order::Kind::map && outcome.index() != end.delivered) end.out_of_order = true;
    if (outcome.ok()) record.note_value(sum_of(outcome.value()));
    else record.note(outcome.error());
    progress_();
    if (++end.delivered == order.leave_after) break;
  }
}

void OwnerThread::map(const Order& order) {
  MapEnd& end = *maps_.emplace_back(std::make_unique<MapEnd>());
  end.order = &order;
  const PlannedTask& common = order.planned_tasks.front();
  const std::uint32_t first = common.task.index, last = order.inputs_throw;
  auto tasks = order.planned_tasks | std::views::transform([first, last](const PlannedTask& planned) {
                 if (last != 0 && planned.task.index - first == last) throw std::domain_error("the inputs end here");
                 return planned.task;
               });
  auto texts = order.planned_tasks |
               std::views::transform([](const PlannedTask& e) { return text_of(e.task.seed, e.task.size); });
  auto with = pool_.with({.timeout = std::chrono::milliseconds(common.timeout_ms),
                          .retries = common.retries,
                          .look_ahead = order.look_ahead});
  try {
    const bool ordered = order.kind == Order::Kind::map;
    if (order.two_inputs)
      walk((ordered ? with.map(to_text, tasks, texts) : with.map_unordered(to_text, tasks, texts)).outcomes(), end);
    else walk((ordered ? with.map(to_made_text, tasks) : with.map_unordered(to_made_text, tasks)).outcomes(), end);
  } catch (...) {
    end.error.note(std::current_exception());
  }
  for (const PlannedTask& planned : order.planned_tasks)
    if (Record& record = records_[planned.task.index]; record.end == End::none) record.end = End::dropped;
}

void run_serially(const Task& task, Record& record) {
  Task harmless = task;
  const bool throws = task.behaviour == Behaviour::throw_standard || task.behaviour == Behaviour::throw_registered ||
                      task.behaviour == Behaviour::throw_foreign;
  if (!throws) harmless.behaviour = Behaviour::plain;
  if (task.shape == Shape::slow) harmless.millis = 0;
  retinue::SerialExecutor serial;
  start(serial, harmless)->settle(record);
}

}  // namespace retinue_chaos
