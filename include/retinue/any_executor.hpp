// Some executor, chosen while the program runs.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <concepts>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>
#include <variant>

#include <retinue/executor.hpp>
#include <retinue/process_pool.hpp>
#include <retinue/serial_executor.hpp>
#include <retinue/thread_pool.hpp>

namespace retinue {

/// A `ProcessPool`, a `ThreadPool` or a `SerialExecutor`: for a member, a parameter or a container where "some executor" is
/// needed and a template is not wanted. What is submitted to it goes to the executor inside, so that exceptions, cancelling,
/// timeouts, order, laziness and speed are that executor's own.
///
/// Since any of them may be inside, functions and arguments must travel as those of a `ProcessPool` (else they do not
/// compile), be what a `ThreadPool` can call, and give the same type in both: a function that returns a view must return
/// what owns its value instead.
///
/// Lifetime: of a named executor it is a reference, which must not outlive it. A temporary is moved in and a
/// std::shared_ptr is shared: then the executor ends with the last of the copies. Copies refer to the same executor.
/// Thread-safe as the executor inside is, but for assignment.
///
/// Example:
///
///     retinue::AnyExecutor executor = debugging ? retinue::AnyExecutor(retinue::SerialExecutor())
///                                               : retinue::AnyExecutor(retinue::ProcessPool(8));
///     for (double y : executor.map(simulate, std::views::iota(0, 1000))) plot(y);
class AnyExecutor : public ExecutorInterface<AnyExecutor> {
  template <class E>
  static constexpr bool kHolds =
      std::same_as<E, ProcessPool> || std::same_as<E, ThreadPool> || std::same_as<E, SerialExecutor>;

 public:
  /// Refers to an executor, which must live longer.
  template <class E>
    requires kHolds<E>
  AnyExecutor(E& executor) noexcept : executor_(std::shared_ptr<E>(std::shared_ptr<void>(), &executor)) {}
  /// Moves an executor in.
  template <class E>
    requires(kHolds<E> && !std::is_reference_v<E>)
  AnyExecutor(E&& executor) : executor_(std::make_shared<E>(std::forward<E>(executor))) {}
  /// Shares an executor, which must not be null.
  template <class E>
    requires kHolds<E>
  AnyExecutor(std::shared_ptr<E> executor) noexcept : executor_(std::move(executor)) {}

  unsigned workers() const {
    return std::visit([](const auto& executor) { return executor->workers(); }, executor_);
  }

  /// The executor inside if it is an E, else nullptr: for `stats`, `shutdown` and what else is its own.
  template <class E>
    requires kHolds<E>
  E* get_if() const noexcept {
    const auto* const held = std::get_if<std::shared_ptr<E>>(&executor_);
    return held != nullptr ? held->get() : nullptr;
  }

  /// For schedulers: what runs its tasks.
  detail::Ref<detail::Backend> backend() const {
    return std::visit([](const auto& executor) { return executor->backend(); }, executor_);
  }

  /// See detail::Access.
  detail::Access access(const TaskOptions& options, const void* data) const {
    return std::visit([&](const auto& executor) { return executor->access(options, data); }, executor_);
  }

  template <class F, class... A>
  auto submit_task(const TaskOptions& options, F&& f, A&&... args) {
    using Call = detail::Call<std::decay_t<F>, A...>;
    if constexpr (Call::check()) {
      using R = typename Call::Result;
      return std::visit(
          [&](const auto& executor) {
            auto future = executor->submit_task(options, std::forward<F>(f), std::forward<A>(args)...);
            static_assert(
                std::same_as<decltype(future), Future<R>>,
                "the function gives another type in a thread than from a worker process: return what owns its value");
            return future;
          },
          executor_);
    }
  }

  template <class F, class... Rs>
  auto map_tasks(const TaskOptions& options, detail::Order order, F&& f, Rs&&... inputs) {
    using Call = detail::Call<std::decay_t<F>, std::ranges::range_reference_t<std::views::all_t<Rs>>...>;
    if constexpr (Call::check()) {
      using T = std::conditional_t<std::is_void_v<typename Call::Result>, std::monostate, typename Call::Result>;
      return std::visit(
          [&](const auto& executor) {
            auto results = executor->map_tasks(options, order, std::forward<F>(f), std::forward<Rs>(inputs)...);
            static_assert(
                std::same_as<decltype(results), MapRange<T>>,
                "the function gives another type in a thread than from a worker process: return what owns its value");
            return results;
          },
          executor_);
    }
  }

 private:
  std::variant<std::shared_ptr<ProcessPool>, std::shared_ptr<ThreadPool>, std::shared_ptr<SerialExecutor>> executor_;
};

}  // namespace retinue
