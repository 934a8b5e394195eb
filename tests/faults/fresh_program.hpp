// A pool whose processes start anew: this program, as alone() starts it.
#pragma once

#include <cstring>
#include <optional>

#include <retinue/detail/codec/entry.hpp>
#include <retinue/detail/processes/process_backend.hpp>
#include <retinue/process_pool.hpp>

#include "trial.hpp"

namespace retinue_test {

constexpr const char* kFreshServer = "the fork server of a pool that starts anew";
inline constexpr retinue::detail::ProcessHooks kNoHooks;

inline const bool fresh_body = [] {
  bodies_of_their_own()[kFreshServer] = []() -> int {
    retinue::detail::set_process_role(ProcessRole::fork_server);
    retinue::detail::set_fault_injector(inject_as_planned);
    const std::string words = text_of("/proc/self/cmdline");  // each ended by a zero
    retinue::detail::attach_to_owner(words.substr(words.rfind('\0', words.size() - 2) + 1).c_str());
    retinue::detail::serve_owner(kNoHooks, {});
  };
  return true;
}();

inline void square_entry(retinue::detail::TaskContext& context) {
  int x = 0;
  std::memcpy(&x, context.arguments().data(), sizeof x);
  x *= x;
  std::memcpy(context.result(sizeof x), &x, sizeof x);
}

inline int square_in(retinue::detail::ProcessBackend& core, int x) {
  retinue::detail::StagedPayload arguments;
  std::memcpy(arguments.prepare(sizeof x), &x, sizeof x);
  const auto task =
      core.submit(retinue::detail::name_code(reinterpret_cast<const void*>(&square_entry)), arguments, {});
  task->wait(std::nullopt);
  std::memcpy(&x, task->value_bytes().data(), sizeof x);
  return x;
}

inline void fresh_start(Trial& trial) {
  trial.let_errno_be_lost();  // of a program that is started, only its end is seen
  char path[512] = {};
  DEMAND(::readlink("/proc/self/exe", path, sizeof path - 1) > 0);
  ::setenv("RETINUE_TEST_BODY", kFreshServer, 1);
  ::setenv(kPlanInEnvironment, std::to_string(plan_file()).c_str(), 1);
  retinue::ProcessPoolOptions options;
  options.workers = 2;
  const retinue::detail::FreshProgram program{{path}, {plan_file()}};
  retinue::detail::Ref<retinue::detail::ProcessBackend> core;
  if (!trial.step("making a pool that starts anew", [&] { core = make_process_backend(options, kNoHooks, &program); }))
    return;
  for (int i = 0; i < 5; ++i) trial.step("a task", [&] { DEMAND(square_in(*core, i) == i * i); });
  trial.step("shutdown", [&] { core->shutdown(false); });
}

}  // namespace retinue_test
