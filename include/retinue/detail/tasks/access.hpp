// Where the tasks of a map read what lies in the caller's memory.
#pragma once

#include <concepts>
#include <cstdint>

#include <retinue/task_options.hpp>

namespace retinue::detail {

/// How an executor's tasks come by elements that lie in the caller's memory.
enum class Access : std::uint8_t {
  copied,   ///< each has copies of its own: it may go on after the map is gone
  encoded,  ///< they are written into its payload as soon as it is handed to the executor
  shared,   ///< the memory is one that workers see: they are told where it is
  lent,     ///< it runs in this process and reads them where they are
};

/// What an executor's own `access(options, data)` says, of elements at `data`. One that says nothing may do anything with
/// its tasks, also let them go on for ever: they get copies.
template <class E>
Access access_of(const E& executor, const TaskOptions& options, const void* data) {
  if constexpr (requires { executor.access(options, data); }) return executor.access(options, data);
  else return Access::copied;
}

/// Base of inputs that come in runs: what executors ask of them.
class InputRuns {
 public:
  /// The map's destructor must wait for the tasks that run, so that they read nothing that is gone.
  bool are_read_until_the_end() const noexcept { return access_ == Access::shared || access_ == Access::lent; }
  /// False while a look-ahead should not grow because results come quickly: runs become longer from one to the next, and it
  /// would fill with short ones; or each is a copy, and it would fill memory that nobody has touched yet.
  bool have_settled() const noexcept { return settled_; }

 protected:
  explicit InputRuns(Access access) noexcept : access_(access) {}
  ~InputRuns() = default;
  InputRuns(const InputRuns&) = delete;
  InputRuns& operator=(const InputRuns&) = delete;

  Access access_;
  bool settled_ = false;
};

/// The inputs as runs; nullptr if they are none.
template <class... Rs>
const InputRuns* as_runs(const Rs&... inputs) noexcept {
  if constexpr (sizeof...(Rs) == 1 && (std::derived_from<Rs, InputRuns> && ...)) return (&inputs, ...);
  else return nullptr;
}

}  // namespace retinue::detail
