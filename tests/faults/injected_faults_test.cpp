// Every system call that a scenario makes fails once, in each process that makes it: what is demanded is a right value or
// a typed error, and that nothing hangs, nothing is left, and what says that it is open works.
#include "support/process_watch.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <retinue/process_pool.hpp>

#include "unit/random_blocks.hpp"
#include "scenarios.hpp"

namespace injected_faults_test {

using namespace retinue_test;

FaultPlan& mapped_before_the_tests = plan();

/// How long one run may take: pools wait five seconds for a fork server that does not leave by itself.
constexpr std::chrono::seconds kLongestRun{20 * kPatience};
/// Memory for small blocks that one run may keep and another not: two chunks. The slots of a pool are more.
constexpr std::uint64_t kSpareChunks = 512 * 1024;
/// How long a scenario may be walked: on a machine with other things to do, or under a sanitizer, a sample.
constexpr std::chrono::seconds kBudget{kPatience > 1 ? 6 : 12};

/// In a process of its own.
int live_through(const Scenario& scenario) {
  const Kept before = Kept::now();
  retinue::detail::set_fault_injector(inject_as_planned);
  plan().armed = plan().fault.nth != 0;
  {
    Trial trial;
    scenario.run(trial);
  }
  plan().armed = false;
  plan().counting = false;
  if (*plan().unknown_call != 0) {
    std::printf("no errno is known for %s\n", plan().unknown_call);
    return 97;
  }
  ::unsetenv("RETINUE_TEST_BODY");
  plan().step.store("a new pool afterwards");
  {
    retinue::ProcessPool pool(1);
    DEMAND(pool.submit(square, 7).get() == 49);
  }
  retinue::detail::set_fault_injector(nullptr);
  demand_nothing_left(before);
  return 0;
}

/// Where the processes of a run that hangs are, as far as /proc says.
std::string places(pid_t child) {
  std::ostringstream out;
  auto all = descendants_of(child);
  all[child] = process_info(child);
  for (const auto& [pid, info] : all) {
    for (const std::string& thread : names_in("/proc/" + std::to_string(pid) + "/task")) {
      const std::string folder = "/proc/" + std::to_string(pid) + "/task/" + thread + "/";
      std::string name = text_of(folder + "comm");
      if (!name.empty()) name.pop_back();
      out << "\n    " << pid << '/' << thread << ' ' << name << " (" << info.state << ") in "
          << text_of(folder + "wchan");
    }
  }
  return out.str();
}

struct Outcome {
  ChildEnd end;
  std::string hung_at;
  bool good() const { return end.exited_with(0) && end.alone; }
};

Outcome run_with(const Scenario& scenario, const Fault& fault) {
  FaultPlan& p = plan();
  const std::uint64_t most_reserved = p.most_reserved;
  ::new (&p) FaultPlan;
  p.most_reserved = most_reserved;
  p.fault = fault;
  Outcome result;
  ::alarm(static_cast<unsigned>(2 * kLongestRun.count()));  // a test is no hang while its runs end
  Child child([&] { return live_through(scenario); });
  if (!eventually([&] { return is_gone(child.pid()); }, kLongestRun)) {
    result.hung_at = std::string(p.step.load()) + places(child.pid());
    const char* const wait = std::getenv("RETINUE_TEST_HANG");
    if (wait != nullptr && std::strcmp(wait, "wait") == 0) {
      std::cerr << "process " << child.pid() << " hangs: " << fault << result.hung_at << std::endl;
      for (;;) ::pause();
    }
  }
  result.end = child.end(result.hung_at.empty() ? std::chrono::milliseconds(kSoon) : 0ms);
  return result;
}

struct Counts {
  unsigned of[kRoles][kCallCount] = {};
};

std::ostream& operator<<(std::ostream& out, const Counts& counts) {
  for (unsigned role = 0; role < kRoles; ++role) {
    out << kRoleNames[role] << ':';
    for (unsigned call = 0; call < kCallCount; ++call)
      if (counts.of[role][call] != 0) out << ' ' << kCalls[call].name << ' ' << counts.of[role][call];
    out << '\n';
  }
  return out;
}

/// Without a fault: which calls there are to fail.
Counts record(const Scenario& scenario) {
  plan().most_reserved = ~std::uint64_t{0};
  const Outcome calm = run_with(scenario, Fault{});
  EXPECT_TRUE(calm.good()) << "without a fault: " << calm.end << calm.hung_at;
  plan().most_reserved = plan().reserved + kSpareChunks;
  Counts counts;
  for (unsigned role = 0; role < kRoles; ++role)
    for (unsigned call = 0; call < kCallCount; ++call) counts.of[role][call] = plan().counts[role][call].load();
  return counts;
}

unsigned rounds() {
  const char* given = std::getenv("RETINUE_TEST_ROUNDS");
  return given != nullptr ? static_cast<unsigned>(std::max(1, std::atoi(given))) : 1;
}

/// Of `count` calls those that are made to fail: the first ones, the last, and some between.
std::set<unsigned> chosen(unsigned count, Random& random) {
  std::set<unsigned> all;
  for (unsigned n = 1; n <= std::min(count, 2 * rounds()); ++n) all.insert(n);
  for (unsigned n = 1; n < 2 * rounds() && count != 0; ++n) all.insert(1 + static_cast<unsigned>(random() % count));
  if (count != 0) all.insert(count);
  return all;
}

std::vector<Fault> faults_for(const Scenario& scenario, const Counts& counts, Random& random) {
  std::vector<Fault> faults;
  for (unsigned role = 0; role < kRoles; ++role)
    for (unsigned call = 0; call < kCallCount; ++call) {
      const FallibleCall& what = kCalls[call];
      unsigned errnos = 0;
      while (errnos < kMaxErrnos && what.errnos[errnos] != 0) ++errnos;
      const auto add = [&](unsigned nth, int error_number, Lasting lasting) {
        faults.push_back({role, call, nth, error_number, lasting});
      };
      const unsigned count = scenario.walks(what.name) ? counts.of[role][call] : 0;
      for (const unsigned nth : chosen(count, random)) {
        if (nth == 1 || rounds() > 1)
          for (unsigned i = 0; i < errnos; ++i) add(nth, what.errnos[i], Lasting::once);
        else add(nth, what.errnos[random() % errnos], Lasting::once);
        if (what.lasting != 0 && (nth <= 2 || rounds() > 1)) add(nth, what.lasting, Lasting::from_then_on);
      }
      if (count > 1 && role == static_cast<unsigned>(ProcessRole::worker))
        add(1, what.errnos[0], Lasting::once_in_each);
    }
  return faults;
}

/// RETINUE_TEST_FAULT="owner mmap 2 ENOMEM once", as a failure prints it.
std::optional<Fault> only_fault() {
  const char* given = std::getenv("RETINUE_TEST_FAULT");
  if (given == nullptr) return std::nullopt;
  std::istringstream words(given);
  std::string role, call, error, lasting;
  Fault fault;
  words >> role >> call >> fault.nth >> error >> lasting;
  const auto index = [](const auto& names, const std::string& name) {
    return static_cast<unsigned>(std::find(std::begin(names), std::end(names), name) - std::begin(names));
  };
  fault.role = index(kRoleNames, role);
  fault.lasting = static_cast<Lasting>(index(kLastingNames, lasting));
  fault.call = static_cast<unsigned>(index_of(call.c_str()));
  while (fault.error_number < 200 && errno_name(fault.error_number) != error) ++fault.error_number;
  if (fault.role >= kRoles || fault.call >= kCallCount || lasting.empty() || fault.error_number == 200) {
    ADD_FAILURE() << "RETINUE_TEST_FAULT is not a fault: " << given;
    return Fault{};
  }
  return fault;
}

class InjectedFaults : public ::testing::TestWithParam<Scenario> {};

TEST_P(InjectedFaults, end_in_a_value_or_in_a_clear_error_and_leave_nothing) {
  const Scenario& scenario = GetParam();
  const std::uint64_t seed = random_seed();
  SCOPED_TRACE(describe(seed));
  Random random(seed);
  const Counts counts = record(scenario);
  if (HasFailure()) return;

  const std::optional<Fault> only = only_fault();
  std::vector<Fault> faults = only ? std::vector{*only} : faults_for(scenario, counts, random);
  std::shuffle(faults.begin(), faults.end(), random);
  const bool report = only || std::getenv("RETINUE_TEST_OUTCOMES") != nullptr;
  if (report) std::cout << counts;
  unsigned walked = 0, struck = 0, failures = 0;
  const auto first = Clock::now();
  for (const Fault& fault : faults) {
    if (rounds() == 1 && Clock::now() - first > kBudget) break;
    ++walked;
    const auto start = Clock::now();
    const Outcome outcome = run_with(scenario, fault);
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
    if (plan().hits.load() != 0) ++struck;
    if (report)
      std::cout << fault << " (" << plan().hits.load() << " times, " << took.count() << " ms): " << plan().outcome
                << '\n';
    if (outcome.good()) continue;
    ADD_FAILURE() << "to repeat: RETINUE_TEST_FAULT=\"" << fault << "\"\n"
                  << "  " << outcome.end << (outcome.end.ended ? "" : "  hung at: ") << outcome.hung_at
                  << "\n  outcome: " << plan().outcome;
    if (++failures == 20) break;
  }
  std::cout << "walked " << walked << " of " << faults.size() << " faults, of which " << struck << " struck\n";
  RecordProperty("walked", static_cast<int>(walked));
  EXPECT_GT(struck, 0u);
}

// A call that no scenario makes would be walked nowhere, and nobody would know.
TEST(InjectedFaultsPlan, has_no_call_that_no_scenario_makes) {
  std::set<std::string> unmade;
  for (const FallibleCall& call : kCalls) unmade.insert(call.name);
  for (const Scenario& scenario : kScenarios) {
    const Counts counts = record(scenario);
    for (unsigned call = 0; call < kCallCount; ++call)
      if (scenario.walks(kCalls[call].name) && counts.of[0][call] + counts.of[1][call] + counts.of[2][call] != 0)
        unmade.erase(kCalls[call].name);
  }
  if (!may_change_user())
    for (const char* call : {"setgroups", "setresgid", "setresuid"}) unmade.erase(call);
#if defined(__SANITIZE_THREAD__)
  unmade.erase("execv");  // of fresh_start, which cannot run there
#endif
  EXPECT_EQ(unmade, std::set<std::string>{});
}

INSTANTIATE_TEST_SUITE_P(Of, InjectedFaults, ::testing::ValuesIn(kScenarios),
                         [](const auto& scenario) { return std::string(scenario.param.name); });

}  // namespace injected_faults_test
