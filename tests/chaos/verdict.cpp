#include "verdict.hpp"

#include <csignal>

#include "board.hpp"

namespace retinue_chaos {

Verdict::Verdict(const Round& round, const Inflicted& inflicted) : round_(round), inflicted_(inflicted) {
  for (const auto& orders : round.threads)
    for (const Order& order : orders)
      for (const Errand& errand : order.errands) {
        hoards_ |= errand.task.deed == Deed::hoard_descriptors;
        deaths_planned_ |= is_deadly(errand.task.deed);
      }
}

void Verdict::judge(const Errand& errand, Record& record, bool in_map) {
  const unsigned runs = board().runs[errand.task.index].load();  // before the serial run counts, too
  if (is_deadly(errand.task.deed)) deadly_runs_ += runs;
  deaths_ += record.end == End::died ? 1 : 0;
  if (record.twice) complain(errand, record, "its outcome was delivered twice");
  if (runs > 1 + errand.retries) complain(errand, record, "it ran " + std::to_string(runs) + " times");
  if (!in_map) {
    const int expected = errand.callback && !record.at_submit ? 1 : 0;
    if (record.callbacks.load() != expected)
      complain(errand, record, "its callback was called " + std::to_string(record.callbacks.load()) + " times");
  }
  const std::string why = why_not(errand, record, runs);
  if (!why.empty()) complain(errand, record, why);
}

std::string Verdict::why_not(const Errand& errand, const Record& record, unsigned runs) {
  // What cancel() said and what came of it are the same, unless the whole pool was ended between.
  if (record.cancel_said && record.end != End::cancelled && !may_be_closed())
    return "cancel() said that it was cancelled";
  if (record.cancel_said && !record.cancel_forced && errand.retries == 0 && runs > 0)
    return "it was taken back before its start, and ran";
  switch (record.end) {
    case End::none: return "nobody heard of it";
    case End::dropped: return "";  // its map answers for it
    case End::died: return why_not_died(errand, record);
    case End::timed_out:
      if (errand.timeout_ms == 0) return "it has no time limit";
      return errand.timeout_ms == kGenerousMs ? "its time limit is far away" : "";
    case End::cancelled: return record.cancel_said || may_be_cancelled() ? "" : "nobody cancelled it";
    case End::closed: return may_be_closed() ? "" : "nobody closed its pool";
    case End::exhausted: return may_be_exhausted(errand.task) ? "" : "nothing is exhausted";
    default: break;
  }
  return runs == 0 && record.end == End::value ? "it has a value and never ran" : why_not_ended(errand, record);
}

namespace {

// A text whose end was cut for want of room, as its last characters tell.
bool is_beginning(std::string_view text, std::string_view whole) {
  return text.ends_with("...") && whole.starts_with(text.substr(0, text.size() - 3));
}

}  // namespace

// A value, or an exception of the task's own.
std::string Verdict::why_not_ended(const Errand& errand, const Record& record) {
  const Task& task = errand.task;
  if (is_deadly(task.deed) && task.shape != Shape::refusing) return "it must not outlive its worker";
  if (task.deed == Deed::linger && task.shape != Shape::refusing) return "it never ends by itself";
  if (inflicted_.count(Torment::memory) > 0 && record.end == End::remote) return "";  // no room for more than that
  const auto is_refused = [&] {
    return record.end == End::own && record.type == "std::domain_error" && record.what == kRefusal;
  };
  if (task.shape == Shape::refusing) {
    const RefusingText::Where where = refusal_of(task);
    const bool early = where == RefusingText::Where::argument_written || where == RefusingText::Where::argument_read;
    if (early || task.deed == Deed::plain) {
      if (record.at_submit != (where == RefusingText::Where::argument_written)) return "it was refused elsewhere";
      return is_refused() ? "" : "it was not refused";
    }
    if (is_deadly(task.deed) || task.deed == Deed::linger) return "its deed comes before its refusal";
    if (is_refused()) return "";
  }
  if (task.deed == Deed::exhaust_memory)
    return record.end == End::own && record.type == "std::bad_alloc" ? "" : "it must run out of memory";
  Record serial;
  run_serially(task, serial);
  if (task.deed == Deed::throw_foreign) {
    if (record.end == End::remote && record.type == serial.type && record.what == serial.what) return "";
  } else if (record.end == serial.end && record.digest == serial.digest && record.type == serial.type &&
             record.what == serial.what) {
    return "";
  } else if (inflicted_.count(Torment::memory) > 0 && serial.end == End::own && record.end == End::own &&
             record.type == serial.type && is_beginning(record.what, serial.what)) {
    return "";  // no room for all of its text
  }
  return "the serial run gives " + serial.describe() + (serial.end == End::value ? ", another one" : "");
}

std::string Verdict::why_not_died(const Errand& errand, const Record& record) {
  const bool deadly = is_deadly(errand.task.deed);
  if (deadly && record.signal == signal_of(errand.task) && record.exit_code == exit_code_of(errand.task)) return "";
  const auto kills = inflicted_.kills.find(record.pid);
  if (record.signal == SIGKILL && kills != inflicted_.kills.end() && excused_[record.pid] < kills->second) {
    ++excused_[record.pid];
    return "";
  }
  if (record.signal == SIGKILL && inflicted_.count(Torment::terminate) > 0) return "";
  return deadly ? "it should die in another way" : "nobody killed its worker, or that kill has cost a task already";
}

bool Verdict::may_be_cancelled() const {
  return inflicted_.count(Torment::cancel_rest) + inflicted_.count(Torment::terminate) > 0;
}

bool Verdict::may_be_closed() const {
  if (round_.break_on_worker_death && (deaths_planned_ || inflicted_.count(Torment::kill) > 0)) return true;
  return may_be_cancelled() || inflicted_.count(Torment::kill_server) > 0;
}

bool Verdict::may_be_exhausted(const Task& task) const {
  if (inflicted_.count(Torment::memory) > 0) return true;
  return task.deed == Deed::nest && hoards_;
}

void Verdict::judge(const MapEnd& map) {
  const Order& order = *map.order;
  const auto wanted = static_cast<std::uint32_t>(order.errands.size());
  const auto complain_of_map = [&](const std::string& why) {
    problems_.push_back("the map of " + std::to_string(wanted) + " tasks from " +
                        std::to_string(order.errands.front().task.index) + ": " + why);
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
      if (inflicted_.count(Torment::memory) == 0) complain_of_map("nothing is exhausted, but " + map.error.describe());
      break;
    default: complain_of_map("it threw " + map.error.describe());
  }
}

void Verdict::judge(const retinue::PoolStats& stats) {
  const auto complain_of_pool = [&](const std::string& why) { problems_.push_back("the pool's counts: " + why); };
  const std::uint64_t kills = inflicted_.count(Torment::kill);
  if (!may_be_closed() && stats.workers_died > kills + deadly_runs_)
    complain_of_pool(std::to_string(stats.workers_died) + " workers died, but there were " + std::to_string(kills) +
                     " kills and " + std::to_string(deadly_runs_) + " tasks that end their worker");
  if (stats.finished != stats.submitted)
    complain_of_pool(std::to_string(stats.submitted) + " tasks submitted, " + std::to_string(stats.finished) +
                     " finished");
  if (stats.waiting != 0) complain_of_pool(std::to_string(stats.waiting) + " tasks still wait for a slot");
}

void Verdict::complain(const Errand& errand, const Record& record, const std::string& why) {
  problems_.push_back("task " + std::to_string(errand.task.index) + " (" + std::string(name_of(errand.task.deed)) +
                      ", " + std::string(name_of(errand.task.shape)) + " of " + std::to_string(errand.task.size) +
                      " bytes, " + std::to_string(errand.retries) + " retries, time limit " +
                      std::to_string(errand.timeout_ms) + " ms) ended with " + record.describe() +
                      (record.at_submit ? " at its submit" : "") + ", but " + why);
}

}  // namespace retinue_chaos
