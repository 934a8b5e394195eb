#include "verdict.hpp"

#include <csignal>

#include "board.hpp"

namespace retinue_chaos {

Verdict::Verdict(const Round& round, const InjectedFaults& injected) : round_(round), injected_(injected) {
  for (const auto& orders : round.threads)
    for (const Order& order : orders)
      for (const PlannedTask& planned : order.planned_tasks) {
        hoards_ |= planned.task.behaviour == Behaviour::hoard_descriptors;
        deaths_planned_ |= is_deadly(planned.task.behaviour);
      }
}

void Verdict::judge(const PlannedTask& planned, Record& record, bool in_map) {
  const unsigned runs = board().runs[planned.task.index].load();  // before the serial run counts, too
  if (is_deadly(planned.task.behaviour)) deadly_runs_ += runs;
  deaths_ += record.end == End::died ? 1 : 0;
  if (record.twice) complain(planned, record, "its outcome was delivered twice");
  if (runs > 1 + planned.retries) complain(planned, record, "it ran " + std::to_string(runs) + " times");
  if (!in_map) {
    const int expected = planned.callback && !record.at_submit ? 1 : 0;
    if (record.callbacks.load() != expected)
      complain(planned, record, "its callback was called " + std::to_string(record.callbacks.load()) + " times");
  }
  const std::string why = why_not(planned, record, runs);
  if (!why.empty()) complain(planned, record, why);
}

std::string Verdict::why_not(const PlannedTask& planned, const Record& record, unsigned runs) {
  // What cancel() said and what came of it are the same, unless the whole pool was ended between.
  if (record.cancel_said && record.end != End::cancelled && !may_be_closed())
    return "cancel() said that it was cancelled";
  if (record.cancel_said && !record.cancel_forced && planned.retries == 0 && runs > 0)
    return "it was cancelled before its start, and ran";
  switch (record.end) {
    case End::none: return "nobody was notified of it";
    case End::dropped: return "";  // its map answers for it
    case End::died: return why_not_died(planned, record);
    case End::timed_out:
      if (planned.timeout_ms == 0) return "it has no time limit";
      return planned.timeout_ms == kGenerousMs ? "its time limit is far away" : "";
    case End::cancelled: return record.cancel_said || may_be_cancelled() ? "" : "nobody cancelled it";
    case End::closed: return may_be_closed() ? "" : "nobody closed its pool";
    case End::exhausted: return may_be_exhausted(planned.task) ? "" : "nothing is exhausted";
    default: break;
  }
  return runs == 0 && record.end == End::value ? "it has a value and never ran" : why_not_ended(planned, record);
}

namespace {

// A text whose end was cut for want of room, as its last characters show.
bool is_beginning(std::string_view text, std::string_view whole) {
  return text.ends_with("...") && whole.starts_with(text.substr(0, text.size() - 3));
}

}  // namespace

// A value, or an exception of the task's own.
std::string Verdict::why_not_ended(const PlannedTask& planned, const Record& record) {
  const Task& task = planned.task;
  if (is_deadly(task.behaviour) && task.shape != Shape::refusing) return "it must not outlive its worker";
  if (task.behaviour == Behaviour::linger && task.shape != Shape::refusing) return "it never ends by itself";
  if (injected_.count(FaultKind::memory) > 0 && record.end == End::remote) return "";  // no room for more than that
  const auto is_refused = [&] {
    return record.end == End::own && record.type == "std::domain_error" && record.what == kRefusal;
  };
  if (task.shape == Shape::refusing) {
    const RefusingText::Where where = refusal_of(task);
    const bool early = where == RefusingText::Where::argument_written || where == RefusingText::Where::argument_read;
    if (early || task.behaviour == Behaviour::plain) {
      if (record.at_submit != (where == RefusingText::Where::argument_written)) return "it was refused elsewhere";
      return is_refused() ? "" : "it was not refused";
    }
    if (is_deadly(task.behaviour) || task.behaviour == Behaviour::linger)
      return "its behaviour comes before its refusal";
    if (is_refused()) return "";
  }
  if (task.behaviour == Behaviour::exhaust_memory)
    return record.end == End::own && record.type == "std::bad_alloc" ? "" : "it must run out of memory";
  Record serial;
  run_serially(task, serial);
  if (task.behaviour == Behaviour::throw_foreign) {
    if (record.end == End::remote && record.type == serial.type && record.what == serial.what) return "";
  } else if (record.end == serial.end && record.digest == serial.digest && record.type == serial.type &&
             record.what == serial.what) {
    return "";
  } else if (injected_.count(FaultKind::memory) > 0 && serial.end == End::own && record.end == End::own &&
             record.type == serial.type && is_beginning(record.what, serial.what)) {
    return "";  // no room for all of its text
  }
  return "the serial run gives " + serial.describe() + (serial.end == End::value ? ", another one" : "");
}

std::string Verdict::why_not_died(const PlannedTask& planned, const Record& record) {
  const bool deadly = is_deadly(planned.task.behaviour);
  if (deadly && record.signal == signal_of(planned.task) && record.exit_code == exit_code_of(planned.task)) return "";
  const auto kills = injected_.kills.find(record.pid);
  if (record.signal == SIGKILL && kills != injected_.kills.end() && excused_[record.pid] < kills->second) {
    ++excused_[record.pid];
    return "";
  }
  if (record.signal == SIGKILL && injected_.count(FaultKind::terminate) > 0) return "";
  return deadly ? "it should die in another way" : "nobody killed its worker, or that kill has cost a task already";
}

bool Verdict::may_be_cancelled() const {
  return injected_.count(FaultKind::cancel_rest) + injected_.count(FaultKind::terminate) > 0;
}

bool Verdict::may_be_closed() const {
  if (round_.break_on_worker_death && (deaths_planned_ || injected_.count(FaultKind::kill) > 0)) return true;
  return may_be_cancelled() || injected_.count(FaultKind::kill_server) > 0;
}

bool Verdict::may_be_exhausted(const Task& task) const {
  if (injected_.count(FaultKind::memory) > 0) return true;
  return task.behaviour == Behaviour::nest && hoards_;
}

void Verdict::judge(const MapEnd& map) {
  const Order& order = *map.order;
  const auto wanted = static_cast<std::uint32_t>(order.planned_tasks.size());
  const auto complain_of_map = [&](const std::string& why) {
    problems_.push_back("the map of " + std::to_string(wanted) + " tasks from " +
                        std::to_string(order.planned_tasks.front().task.index) + ": " + why);
  };
  if (map.out_of_order) complain_of_map("its results came out of order");
  const std::uint32_t input_ends = order.inputs_throw != 0 && order.inputs_throw < wanted ? order.inputs_throw : 0;
  switch (map.error.end) {
    case End::none:
      if (map.delivered != (order.leave_after != 0 ? order.leave_after : wanted) || input_ends != 0)
        complain_of_map("it ended by itself after " + std::to_string(map.delivered) + " results");
      break;
    case End::own:
      if (input_ends == 0 || map.error.what != "the inputs end here" || map.delivered != input_ends)
        complain_of_map("after " + std::to_string(map.delivered) + " results it threw " + map.error.describe());
      break;
    case End::closed:
      if (!may_be_closed()) complain_of_map("nobody closed its pool, but " + map.error.describe());
      break;
    case End::exhausted:
      if (injected_.count(FaultKind::memory) == 0) complain_of_map("nothing is exhausted, but " + map.error.describe());
      break;
    default: complain_of_map("it threw " + map.error.describe());
  }
}

void Verdict::judge(const retinue::PoolStats& stats) {
  const auto complain_of_pool = [&](const std::string& why) { problems_.push_back("the pool's counts: " + why); };
  const std::uint64_t kills = injected_.count(FaultKind::kill);
  if (!may_be_closed() && stats.workers_died > kills + deadly_runs_)
    complain_of_pool(std::to_string(stats.workers_died) + " workers died, but there were " + std::to_string(kills) +
                     " kills and " + std::to_string(deadly_runs_) + " tasks that end their worker");
  if (stats.finished != stats.submitted)
    complain_of_pool(std::to_string(stats.submitted) + " tasks submitted, " + std::to_string(stats.finished) +
                     " finished");
  if (stats.waiting != 0) complain_of_pool(std::to_string(stats.waiting) + " tasks still wait for a slot");
}

void Verdict::complain(const PlannedTask& planned, const Record& record, const std::string& why) {
  problems_.push_back("task " + std::to_string(planned.task.index) + " (" +
                      std::string(name_of(planned.task.behaviour)) + ", " + std::string(name_of(planned.task.shape)) +
                      " of " + std::to_string(planned.task.size) + " bytes, " + std::to_string(planned.retries) +
                      " retries, time limit " + std::to_string(planned.timeout_ms) + " ms) ended with " +
                      record.describe() + (record.at_submit ? " at its submit" : "") + ", but " + why);
}

}  // namespace retinue_chaos
