// Something done to a worker at every instruction of a stretch of its code.
#pragma once

#include <cinttypes>
#include <cstdio>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "walk.hpp"
#include "worker_scene.hpp"

namespace retinue_test {

/// Skips the calling test where that cannot be.
#define SKIP_WITHOUT_STEPS()                                            \
  if (const std::string why = ::retinue_test::no_steps(); !why.empty()) \
  GTEST_SKIP() << "a worker cannot be stepped through: " << why

inline std::string no_steps() {
  if (kSlowdown > 1) return "with a sanitizer, most instructions are the sanitizer's, and there are ten times as many";
  if (std::string why = TracedProcess::trouble(); !why.empty()) return why;
  ProcessPool pool(1);
  try {
    TracedProcess worker(pool.submit(::getpid).get());
    worker.detach();
  } catch (const std::system_error& e) {
    return e.what();
  }
  return "";
}

/// Steps to where a walk has come to `place`; false if this one passes it by.
inline bool step_to(TracedProcess& worker, const Place& place) {
  Walks walk;
  walk.begin();
  do {
    walk.arrive(worker.program_counter());
    if (walk.at() == place) return true;
  } while (worker.step() == TracedProcess::Stop::arrived);
  return false;
}

/// Where a place is, in words.
inline std::string describe(const Place& place) {
  std::ostringstream where;
  where << std::hex << place.pc << std::dec << ", visit " << place.visit << ", " << place.beyond << " steps beyond";
  for (const auto& frame : retinue::detail::look_up(&place.pc, 1))
    where << "\n  " << frame.function << " " << frame.file << ":" << frame.line;
  return where.str();
}

/// Acts at each place that walks of the scene's worker come to, each time from the beginning, and prints how many
/// there were. Expects that the walks pass the named transitions of the model.
inline void act_at_every_place(Scene& scene, const char* window, const std::set<std::string>& transitions) {
  // Some places are come to only if the worker is slow, as it was in single steps: so the later tries take steps.
  constexpr unsigned kMaxWalks = 8, kTriesAtFullSpeed = 15, kMaxTries = 75, kMaxTriesBeyond = 25, kMinInstructions = 50;
  const auto began = Clock::now();
  Walks walks;
  for (std::size_t before = 1; walks.places().size() != before && walks.walks() < kMaxWalks;) {
    before = walks.places().size();
    const auto worker = scene.begin();
    walks.begin();
    do {
      walks.arrive(worker->program_counter());
      scene.look(walks.at());
    } while (worker->step() == TracedProcess::Stop::arrived);
    scene.act(*worker);  // so that each walk, and each round below, has a new worker
    scene.settle(true);
    if (::testing::Test::HasFailure()) return;
  }
  scene.walks_are_over();
  const double stepping = std::chrono::duration<double>(Clock::now() - began).count();

  const std::vector<Place>& places = walks.places();
  std::size_t missed = 0;
  for (const Place& place : places) {
    bool arrived = false;
    for (unsigned tries = 0; tries < (place.beyond == 0 ? kMaxTries : kMaxTriesBeyond) && !arrived; ++tries) {
      const auto worker = scene.begin();
      arrived =
          tries < kTriesAtFullSpeed ? worker->run_to(place) == TracedProcess::Stop::arrived : step_to(*worker, place);
      scene.act(*worker);
      worker->detach();
      scene.settle(true);
      if (!::testing::Test::HasFailure()) continue;
      ADD_FAILURE() << window << ": at " << describe(place);
      return;
    }
    if (arrived) continue;
    // A call of a library may be shorter the next time: that is not the worker's code. Most places there are come to.
    if (place.beyond == 0 && !walks.was_by_chance(place)) {
      ADD_FAILURE() << window << ": the worker did not come again to " << describe(place);
      return;
    }
    ++missed;
  }
  EXPECT_LE(missed, places.size() / 20) << window
                                        << ": places by chance or in calls of libraries that the worker did not come "
                                           "again to";
  {
    const auto worker = scene.begin();
    worker->detach();
    scene.settle(false);
  }
  const double all = std::chrono::duration<double>(Clock::now() - began).count();
  std::printf("%s: %zu instructions, %zu places, %.1f s; %" PRIu64 " steps in %u walks, %.1f s\n", window,
              walks.instructions(), places.size(), all - stepping, walks.steps(), walks.walks(), stepping);
  EXPECT_GE(walks.instructions(), kMinInstructions) << "the way was not that of a worker";

  const std::set<std::string> passed = walks.transitions();
  if (!Transitions::all().have_lines()) {
    std::printf("%s: no line tables, so nobody knows which transitions were passed\n", window);
    return;
  }
  for (const std::string& name : transitions)
    EXPECT_TRUE(passed.contains(name)) << window << ": " << name << " was not passed";
  std::string names;
  for (const std::string& name : passed) names += " " + name;
  std::printf("%s: transitions%s\n", window, names.c_str());
}

/// Steps on until the worker counts as spinning: where that is.
inline Place place_of_spinning(TracedProcess& worker, const OpenPool& open, unsigned index) {
  Walks walk;
  walk.begin();
  for (;;) {
    walk.arrive(worker.program_counter());
    if ((open.memory.control->idlers[0].spinning.load() >> index & 1) != 0) return walk.at();
    if (worker.step() != TracedProcess::Stop::arrived) throw std::runtime_error("the worker does not spin");
  }
}

}  // namespace retinue_test
