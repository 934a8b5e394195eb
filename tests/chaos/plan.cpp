#include "plan.hpp"

#include <algorithm>
#include <sstream>

#include "board.hpp"
#include "random.hpp"

namespace retinue_chaos {
namespace {

constexpr std::string_view kFaultKinds[] = {"kill",      "stop",        "descriptors", "memory",
                                            "clock",     "other-pool",  "fork-owner",  "kill-server",
                                            "terminate", "cancel-rest", "shut-early"};
static_assert(std::size(kFaultKinds) == static_cast<std::size_t>(FaultKind::kCount));
constexpr std::string_view kOthers[] = {"huge", "timeouts", "cancels", "retirement", "break-on-death"};

/// Draws a round. Whatever is left out by name is drawn all the same and then made harmless, so that the rest of the
/// plan stays as it was.
class Draw {
 public:
  Draw(std::uint64_t seed, std::uint64_t number, const Measure& measure)
      : measure_(measure), random_(mixed(seed, number)) {
    round_.seed = seed;
    round_.number = number;
  }

  Round round() {
    pool();
    const auto tasks = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(random_.between(measure_.tasks / 4 + 1, measure_.tasks * 7 / 4 + 1), kMaxTasks / 2));
    rough_ = random_.below(4);
    round_.threads.resize(random_.one_in(3) ? 1 : random_.between(2, 6));
    while (round_.tasks < tasks) {
      auto& orders = round_.threads[random_.below(round_.threads.size())];
      orders.push_back(order(static_cast<std::uint32_t>(random_.between(1, std::min(tasks - round_.tasks, 300u)))));
    }
    faults();
    return std::move(round_);
  }

 private:
  void pool() {
    round_.workers = static_cast<unsigned>(random_.one_in(4) ? random_.between(5, 12) : random_.between(1, 4));
    round_.slots = random_.pick({std::size_t{1}, std::size_t{16}, std::size_t{64}, std::size_t{4096}});
    const auto most_tasks = random_.pick({0u, 0u, 1u, 3u, 50u});
    const auto most_memory = random_.pick({0u, 0u, 0u, 24u});
    if (measure_.allows("retirement")) {
      round_.max_tasks_per_worker = most_tasks;
      round_.max_memory_per_worker = std::size_t{most_memory} << 20;
    }
    round_.spin_us = random_.pick({-1, -1, 0, 20});
    round_.break_on_worker_death = random_.one_in(30) && measure_.allows("break-on-death");
    round_.initializer = random_.one_in(3);
  }

  Order order(std::uint32_t count) {
    Order order;
    order.kind =
        random_.pick({Order::Kind::submits, Order::Kind::submits, Order::Kind::map, Order::Kind::map_unordered});
    const bool maps = order.kind != Order::Kind::submits;
    order.window = static_cast<std::uint32_t>(random_.any_size(9));
    order.look_ahead = random_.one_in(2) ? 0 : static_cast<std::uint32_t>(random_.any_size(6));
    order.two_inputs = random_.one_in(2);
    if (random_.one_in(5)) order.leave_after = static_cast<std::uint32_t>(random_.between(1, count));
    else if (random_.one_in(5)) order.inputs_throw = static_cast<std::uint32_t>(random_.between(1, count));
    PlannedTask common;  // of a map all tasks have the same limits
    limits(common);
    for (std::uint32_t i = 0; i < count; ++i)
      order.planned_tasks.push_back(planned(maps ? &common : nullptr, order.two_inputs));
    return order;
  }

  void limits(PlannedTask& planned) {
    planned.retries = random_.one_in(2) ? 0 : static_cast<std::uint32_t>(random_.between(1, 3));
    const auto short_ms = static_cast<std::uint32_t>(random_.between(1, 40));
    const std::uint64_t kind = random_.below(8);
    if (!measure_.allows("timeouts")) return;
    if (kind == 0) planned.timeout_ms = short_ms;
    else if (kind < 3) planned.timeout_ms = kGenerousMs;
  }

  PlannedTask planned(const PlannedTask* common, bool with_text) {
    PlannedTask planned;
    limits(planned);
    planned.callback = random_.one_in(3);
    const std::uint64_t cancel = random_.below(24);
    planned.cancel_after = static_cast<std::uint32_t>(random_.below(30));
    if (measure_.allows("cancels") && cancel < 3) planned.cancel = cancel == 0 ? Cancel::forced : Cancel::soft;
    Task& task = planned.task;
    task.seed = random_();
    task.index = round_.tasks++;
    task.millis = static_cast<std::uint32_t>(random_.between(1, 12));
    task.shape = shape();
    task.size = size(task.shape);
    task.behaviour = behaviour();
    const auto due_ms = static_cast<std::uint32_t>(random_.between(2, 40));
    if (common != nullptr) {
      planned.timeout_ms = common->timeout_ms;
      planned.retries = common->retries;
      planned.cancel = Cancel::none;
      planned.callback = false;
      task.shape = with_text ? Shape::text : Shape::made_text;
      if (task.behaviour == Behaviour::linger && (common->timeout_ms == 0 || common->timeout_ms == kGenerousMs))
        task.behaviour = Behaviour::nap;
    } else if (task.behaviour == Behaviour::linger) {
      if (measure_.allows("cancels") && (due_ms % 2 == 0 || !measure_.allows("timeouts")))
        planned.cancel = Cancel::forced;
      else if (measure_.allows("timeouts")) planned.timeout_ms = due_ms;
      else task.behaviour = Behaviour::nap;
    }
    return planned;
  }

  Shape shape() {
    const auto shape = random_.one_in(2) ? random_.pick({Shape::number, Shape::made_text})
                                         : static_cast<Shape>(random_.below(static_cast<std::uint64_t>(Shape::kCount)));
    return measure_.allows(name_of(shape)) ? shape : Shape::number;
  }

  std::uint32_t size(Shape shape) {
    const std::uint64_t kind = random_.below(600);
    auto size = static_cast<std::uint32_t>(random_.any_size(kind < 2 ? 25 : kind < 40 ? 20 : 11));
    if (kind < 2) size |= 1u << 23;
    if (shape == Shape::number) return size;
    if ((kind < 2 && !measure_.allows("huge")) || bytes_ + size > kMaxBytes) size %= 2000;
    bytes_ += size;
    return size;
  }

  Behaviour behaviour() {
    const std::uint64_t kind = random_.below(100), common = random_.below(12), rare = random_.below(60);
    static constexpr std::uint64_t kFaults[] = {2, 6, 12, 30};  // of a hundred tasks
    Behaviour behaviour = kind >= 92 ? Behaviour::nap : Behaviour::plain;
    if (kind < kFaults[rough_]) {
      static constexpr Behaviour kCommon[] = {Behaviour::throw_standard,
                                              Behaviour::throw_registered,
                                              Behaviour::throw_foreign,
                                              Behaviour::leave,
                                              Behaviour::crash,
                                              Behaviour::stop,
                                              Behaviour::exhaust_memory,
                                              Behaviour::exhaust_descriptors,
                                              Behaviour::hoard_descriptors,
                                              Behaviour::grow,
                                              Behaviour::fork_child,
                                              Behaviour::fork_orphan};
      behaviour = kCommon[common];
      if (rare < 4) behaviour = Behaviour::fork_return;
      else if (rare < 7) behaviour = Behaviour::nest;
      else if (rare < 11) behaviour = Behaviour::linger;
    }
    return measure_.allows(name_of(behaviour)) ? behaviour : Behaviour::plain;
  }

  void faults() {
    const auto whole = static_cast<double>(round_.tasks) * measure_.kills_per_task;
    const auto kills = static_cast<std::uint64_t>(whole + static_cast<double>(random_.below(1000)) / 1000);
    inject(FaultKind::kill, kills);
    inject(FaultKind::stop, random_.below(4));
    inject(FaultKind::clock, random_.below(5));
    inject(FaultKind::descriptors, random_.one_in(3) ? 1 : 0);
    inject(FaultKind::memory, random_.one_in(4) ? 1 : 0);
    inject(FaultKind::other_pool, random_.one_in(4) ? 1 : 0);
    inject(FaultKind::fork_owner, random_.one_in(8) ? 1 : 0);
    static constexpr FaultKind kEndings[] = {FaultKind::kill_server, FaultKind::terminate, FaultKind::cancel_rest,
                                             FaultKind::shut_early};
    const std::uint64_t ending = random_.below(12);
    if (ending < std::size(kEndings)) {
      inject(kEndings[ending], 1);
      // Late, for of what is submitted after it little is to be learned.
      if (round_.has(kEndings[ending])) round_.faults.back().at = round_.tasks / 2 + round_.faults.back().at / 2;
    }
    // Stable, and not by the library's stable sort: clang reports what that is made of as deprecated.
    for (auto fault = round_.faults.begin(); fault != round_.faults.end(); ++fault)
      std::rotate(std::ranges::upper_bound(round_.faults.begin(), fault, fault->at, {}, &Fault::at), fault, fault + 1);
  }

  void inject(FaultKind kind, std::uint64_t times) {
    for (; times > 0; --times) {
      Fault fault{kind, static_cast<std::uint32_t>(random_.below(round_.tasks)),
                  static_cast<std::uint32_t>(random_.between(1, 30)), random_()};
      if (measure_.allows(name_of(kind))) round_.faults.push_back(fault);
    }
  }

  static constexpr std::uint64_t kMaxBytes = 96 << 20;
  const Measure& measure_;
  Random random_;
  Round round_;
  std::uint64_t rough_ = 0;
  std::uint64_t bytes_ = 0;
};

}  // namespace

std::string_view name_of(FaultKind kind) { return kFaultKinds[static_cast<std::size_t>(kind)]; }

std::vector<std::string_view> all_kinds() {
  std::vector<std::string_view> all;
  for (std::size_t i = 1; i < static_cast<std::size_t>(Behaviour::kCount); ++i)
    all.push_back(name_of(static_cast<Behaviour>(i)));
  for (std::size_t i = 1; i < static_cast<std::size_t>(Shape::kCount); ++i)
    all.push_back(name_of(static_cast<Shape>(i)));
  all.insert(all.end(), std::begin(kFaultKinds), std::end(kFaultKinds));
  all.insert(all.end(), std::begin(kOthers), std::end(kOthers));
  return all;
}

Round make_round(std::uint64_t seed, std::uint64_t number, const Measure& measure) {
  return Draw(seed, number, measure).round();
}

bool Round::has(FaultKind kind) const {
  return std::ranges::any_of(faults, [kind](const Fault& b) { return b.kind == kind; });
}

std::string Round::describe() const {
  std::ostringstream text;
  text << "round " << number << " of seed " << seed << ": " << tasks << " tasks by " << threads.size() << " threads on "
       << workers << " workers, " << slots << " slots";
  if (max_tasks_per_worker != 0) text << ", " << max_tasks_per_worker << " tasks a worker";
  if (max_memory_per_worker != 0) text << ", " << (max_memory_per_worker >> 20) << " MiB a worker";
  if (spin_us >= 0) text << ", spin " << spin_us << " us";
  if (break_on_worker_death) text << ", breaks on a death";
  if (initializer) text << ", with an initializer";
  for (std::size_t i = 0; i < static_cast<std::size_t>(FaultKind::kCount); ++i) {
    const auto n = std::ranges::count(faults, static_cast<FaultKind>(i), &Fault::kind);
    if (n != 0) text << "; " << kFaultKinds[i] << " " << n;
  }
  return text.str();
}

std::uint64_t Round::digest() const {
  std::vector<std::uint64_t> all = {number,
                                    workers,
                                    slots,
                                    max_tasks_per_worker,
                                    max_memory_per_worker,
                                    static_cast<std::uint64_t>(spin_us),
                                    break_on_worker_death,
                                    initializer,
                                    threads.size()};
  for (const auto& orders : threads) {
    all.push_back(orders.size());
    for (const Order& o : orders) {
      all.insert(all.end(), {static_cast<std::uint64_t>(o.kind), o.window, o.look_ahead, o.two_inputs, o.leave_after,
                             o.inputs_throw});
      for (const PlannedTask& e : o.planned_tasks)
        all.insert(all.end(),
                   {e.task.seed, e.task.index, e.task.size, e.task.millis, static_cast<std::uint64_t>(e.task.behaviour),
                    static_cast<std::uint64_t>(e.task.shape), e.timeout_ms, e.retries,
                    static_cast<std::uint64_t>(e.cancel), e.cancel_after, e.callback});
    }
  }
  for (const Fault& b : faults) all.insert(all.end(), {static_cast<std::uint64_t>(b.kind), b.at, b.millis, b.selector});
  return retinue_chaos::digest(all.data(), all.size() * sizeof all[0]);
}

}  // namespace retinue_chaos
