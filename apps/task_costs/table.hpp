// Ways to do the same, timed in turn, and printed as a table for people.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace task_costs {

/// One way to have a task done.
struct Way {
  std::string what;
  std::function<double()> seconds;  ///< does it once, all tasks of it, and gives what a task took
  bool is_work = false;             ///< the work alone, without anybody to hand it to: nothing to compare with
};

/// The same tasks in several ways, the first of which is Retinue's.
struct Problem {
  std::string what;
  std::vector<Way> ways;
};

/// Takes every way in turn, `rounds` times, and prints the middle of each; the lowest and the highest, too, where they
/// are far apart.
/// \throws what a way throws
void measure_and_print(const Problem& problem, unsigned rounds);

}  // namespace task_costs
