// The interface that all executors share.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <concepts>
#include <functional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <retinue/detail/tasks/access.hpp>
#include <retinue/detail/tasks/order.hpp>
#include <retinue/future.hpp>
#include <retinue/map_range.hpp>
#include <retinue/task_options.hpp>

namespace retinue {

template <class E>
class WithOptions;

/// What every executor offers, in terms of two members of Derived that are its own business:
///
///     Future<R>   submit_task(const TaskOptions&, F&&, A&&...)
///     MapRange<T> map_tasks(const TaskOptions&, detail::Order, F&&, Rs&&...)
///
/// `f` is anything std::invoke takes. Functions and arguments of a `ProcessPool` must travel (see
/// codec.hpp); those of threads need not.
template <class Derived>
class ExecutorInterface {
 public:
  /// Runs `f(args...)` in a worker. Never blocks and never drops: what finds no slot waits in the
  /// owner's memory. Throws PoolClosed after shutdown, ResourceExhausted when memory gives out.
  template <class F, class... A>
  auto submit(F&& f, A&&... args) {
    return self().submit_task(options(), std::forward<F>(f), std::forward<A>(args)...);
  }

  /// Runs `f` on each element (several ranges are walked together, up to the shortest) and gives the
  /// results in the order of the inputs, lazily. A function that returns void gives std::monostate.
  template <class F, std::ranges::input_range... Rs>
    requires(sizeof...(Rs) > 0)
  auto map(F&& f, Rs&&... inputs) {
    return self().map_tasks(options(), detail::Order::inputs, std::forward<F>(f), std::forward<Rs>(inputs)...);
  }

  /// As `map`, but gives each result as soon as it is there; `outcomes()` give each one's index.
  template <class F, std::ranges::input_range... Rs>
    requires(sizeof...(Rs) > 0)
  auto map_unordered(F&& f, Rs&&... inputs) {
    return self().map_tasks(options(), detail::Order::completion, std::forward<F>(f), std::forward<Rs>(inputs)...);
  }

  /// Runs `f` on each element and waits for all; throws the first failure it meets and cancels the rest.
  ///
  /// In threads and in the calling thread, without a timeout, one range whose elements lie side by side (or
  /// `std::views::iota(a, b)`) is walked in runs, as by `map_reduce`: of several elements where those before them took less
  /// than two microseconds each. So no element may wait for another where some are that short (in `map_unordered` it may),
  /// and one that takes much longer than those before it may have some of them behind it. It returns, or throws, when
  /// nothing runs any more that reads the range. Anywhere else each element is a task: a worker's death costs one.
  template <class F, std::ranges::input_range... Rs>
    requires(sizeof...(Rs) > 0)
  void for_each(F&& f, Rs&&... inputs);

  /// Folds `f` of every element into `init` with `combine`, in the order of the inputs: in the workers
  /// over runs of inputs, whose length follows the time they take, then in the owner over the runs.
  /// `combine(T, T) -> T` must be associative (it need not be commutative), `f`'s result convertible
  /// to T. `init` is used once.
  ///
  /// A range whose elements lie side by side is not read one by one. Threads read it where it is, unless there is a
  /// timeout; so do processes if it lies in a SharedArray, else it is copied once. It must not change meanwhile; whether
  /// this returns or throws, nothing runs any more that reads it. `f` is given copies of its own, but for a `const&` of
  /// what is no small and plain value. A lambda or function object is compiled into the loop
  /// over a run; the name of a function is a pointer, so that each element is a call.
  ///
  ///     double sum = pool.map_reduce([](double x) { return x * x; }, samples, 0.0);
  template <class F, std::ranges::input_range R, class T, class Combine = std::plus<>>
  T map_reduce(F&& f, R&& inputs, T init, Combine combine = {});

  /// This executor with options for what is submitted through it: `pool.with({.retries = 1}).map(...)`. They add up.
  WithOptions<Derived> with(const TaskOptions& options) { return WithOptions<Derived>(self(), options); }

 private:
  friend Derived;
  ExecutorInterface() = default;

  Derived& self() noexcept { return static_cast<Derived&>(*this); }
  static TaskOptions options() noexcept { return {}; }
};

/// An executor with options, as `with` gives it: use it at once or keep it no longer than its executor.
template <class E>
class WithOptions : public ExecutorInterface<WithOptions<E>> {
 public:
  WithOptions(E& executor, const TaskOptions& options) noexcept : executor_(executor), options_(options) {}
  unsigned workers() const { return executor_.workers(); }

  /// With these options and those: the executor's own again, so that this one may go.
  WithOptions with(const TaskOptions& options) const { return WithOptions(executor_, options_.overridden_by(options)); }

  template <class F, class... A>
  auto submit_task(const TaskOptions& options, F&& f, A&&... args) {
    return executor_.submit_task(options_.overridden_by(options), std::forward<F>(f), std::forward<A>(args)...);
  }
  template <class F, class... Rs>
  auto map_tasks(const TaskOptions& options, detail::Order order, F&& f, Rs&&... inputs) {
    return executor_.map_tasks(options_.overridden_by(options), order, std::forward<F>(f), std::forward<Rs>(inputs)...);
  }

  detail::Access access(const TaskOptions& options, const void* data) const {
    return detail::access_of(executor_, options_.overridden_by(options), data);
  }

 private:
  E& executor_;
  TaskOptions options_;
};

/// Anything with the whole interface: `ProcessPool`, `ThreadPool`, `SerialExecutor`. Write a function
/// once over `Executor auto&` and choose where it runs by what is passed.
template <class E>
concept Executor = requires(E& e, int (*f)(int), int (*g)(int, int), std::vector<int> v) {
  { e.workers() } -> std::convertible_to<unsigned>;
  { e.submit(f, 1) } -> std::same_as<Future<int>>;
  { e.map(f, v) } -> std::same_as<MapRange<int>>;
  { e.map_unordered(f, v) } -> std::same_as<MapRange<int>>;
  { e.map_reduce(f, v, 0, g) } -> std::same_as<int>;
  e.for_each(f, v);
  e.with(TaskOptions{}).submit(f, 1);
};

}  // namespace retinue

#include <retinue/detail/patterns/for_each.hpp>
#include <retinue/detail/patterns/map_reduce.hpp>
