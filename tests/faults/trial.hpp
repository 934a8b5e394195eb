// A scenario's steps, each of which must go well or end in an error that says what happened.
#pragma once

#include "unit/pool_tasks.hpp"

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <utility>

#include <retinue/shared_memory.hpp>

#include "fault_plan.hpp"

namespace retinue_test {

/// One run of a scenario in a process of its own, with one fault or none. What breaks a promise ends the process with
/// code 98 and a line on stdout.
class Trial {
 public:
  /// True if `f` went well; false if it threw an error that the fault explains.
  template <class F>
  bool step(const char* name, F&& f) {
    plan().step.store(name);
    try {
      f();
      return true;
    } catch (const retinue::ResourceExhausted& e) {
      const bool lost = errno_may_be_lost_ && e.error_number() == 0;
      if (!lost && e.error_number() != plan().fault.error_number)
        broken(name, "ResourceExhausted with another errno", e);
      note(name, "ResourceExhausted", e);
    } catch (const retinue::PoolClosed& e) {
      closed_ = true;
      note(name, "PoolClosed", e);
    } catch (const retinue::WorkerDied& e) {
      note(name, "WorkerDied", e);
    } catch (const retinue::Error& e) {
      const std::string number = "(errno " + std::to_string(plan().fault.error_number) + ")";
      if (typeid(e) != typeid(retinue::Error) || std::string(e.what()).find(number) == std::string::npos)
        broken(name, typeid(e).name(), e);
      note(name, "Error", e);
    } catch (const std::exception& e) {
      broken(name, typeid(e).name(), e);
    } catch (...) {
      broken(name, "no exception of the library", std::runtime_error("unknown"));
    }
    if (plan().hits.load() == 0) {
      std::printf("%s: failed, and no fault was injected: %s\n", name, plan().outcome);
      end(98);
    }
    return false;
  }

  /// Expects an exception of type E; another one must be explained by the fault.
  template <class E, class F>
  bool step_throws(const char* name, F&& f) {
    return step(name, [&] {
      try {
        f();
      } catch (const E&) {
        return;
      }
      if (plan().hits.load() == 0) broken(name, "nothing was thrown", std::runtime_error(""));
    });
  }

  /// The fault does not come again: what is open must work again, and what does not must say that it is closed.
  void lift_and_use(retinue::ProcessPool& pool) {
    if (plan().fault.lasting != Lasting::once) plan().armed = false;
    for (int tries = 0; tries < 4; ++tries) {
      plan().step.store("the pool is used after the fault");
      try {
        DEMAND(pool.submit(square, 12).get() == 144);
        if (closed_) broken("the pool is used after the fault", "works although it was closed", std::runtime_error(""));
        return;
      } catch (const retinue::WorkerDied&) {  // of what happened before
      } catch (const retinue::PoolClosed& e) {
        DEMAND(std::string(e.what()).size() > 10);
        note("afterwards", "PoolClosed", e);
        closed_ = true;
        return;
      } catch (const retinue::ResourceExhausted& e) {  // the one failure, if it had not struck before
        DEMAND(plan().fault.lasting == Lasting::once && plan().hits.load() == 1);
      }
    }
    broken("the pool is used after the fault", "four tasks in a row failed", std::runtime_error(""));
  }

  void forget_closed() { closed_ = false; }
  void let_errno_be_lost() { errno_may_be_lost_ = true; }

  [[noreturn]] static void broken(const char* step, const char* what, const std::exception& e) {
    std::printf("%s: %s: %s\n", step, what, e.what());
    end(98);
  }
  [[noreturn]] static void end(int code) {
    std::fflush(stdout);
    ::_exit(code);
  }

 private:
  static void note(const char* step, const char* type, const std::exception& e) {
    FaultPlan& p = plan();
    const std::size_t used = std::strlen(p.outcome);
    std::snprintf(p.outcome + used, sizeof p.outcome - used, "%s: %s: %.160s; ", step, type, e.what());
  }

  bool closed_ = false;
  bool errno_may_be_lost_ = false;
};

/// What a process holds that a run could leave.
struct Kept {
  static constexpr const char* kUnnamed = "/dev/shm/#";  // where there is no memfd_create
  std::size_t threads, descriptors, mappings;

  static Kept now() {
    Kept kept{names_in("/proc/self/task").size(), 0, 0};
    for (const std::string& fd : names_in("/proc/self/fd")) {
      char target[256] = {};
      if (::readlink(("/proc/self/fd/" + fd).c_str(), target, sizeof target - 1) <= 0) continue;
      const std::string_view name(target);
      if (name.starts_with("/memfd:retinue") || name.starts_with(kUnnamed) || name.starts_with("anon_inode:"))
        ++kept.descriptors;
    }
    std::istringstream lines(text_of("/proc/self/maps"));
    for (std::string line; std::getline(lines, line);)
      if (line.find("/memfd:retinue") != line.npos || line.find(kUnnamed) != line.npos) ++kept.mappings;
    return kept;
  }
};

/// Nothing but the region and the doorbell, which are kept to the end of the process.
inline void demand_nothing_left(const Kept& before) {
  plan().step.store("looking for what is left");
  DEMAND(eventually([] { return ::waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD; }));
  DEMAND(eventually([&] { return Kept::now().threads == before.threads; }));
  DEMAND(Kept::now().descriptors == before.descriptors + 2);
  DEMAND(Kept::now().mappings == before.mappings + 2);
  const retinue::SharedMemoryUsage usage = retinue::shared_memory_usage();
  DEMAND(usage.blocks == 0);
  DEMAND(usage.bytes_in_use == 0);
  retinue::trim_shared_memory();
  plan().reserved = retinue::shared_memory_usage().bytes_reserved;
  const bool could_free = std::strcmp(kCalls[plan().fault.call].name, "punch_hole") != 0;
  if (!could_free || plan().reserved <= plan().most_reserved) return;
  std::printf("%llu bytes of shared memory are left\n", static_cast<unsigned long long>(plan().reserved));
  Trial::end(98);
}

}  // namespace retinue_test
