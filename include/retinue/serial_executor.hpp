// No workers at all: the calling thread.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <memory>
#include <type_traits>
#include <utility>

#include <retinue/detail/tasks/call.hpp>
#include <retinue/detail/tasks/inputs.hpp>
#include <retinue/detail/patterns/timed_map.hpp>
#include <retinue/detail/threads/local_backend.hpp>
#include <retinue/detail/threads/thread_task.hpp>
#include <retinue/executor.hpp>

namespace retinue {

namespace detail {

/// A map that runs an item when it is asked for.
template <class T, class F, class... Rs>
class SerialMap final : public MapSource<T> {
 public:
  template <class G>
  explicit SerialMap(G&& f, Rs&&... inputs)
      : f_(std::forward<G>(f)), inputs_(std::in_place, std::forward<Rs>(inputs)...) {}

  bool next(Outcome<T>& into) override {
    bool reading = true;  // what reading throws ends the map, what the function throws is the item's outcome
    try {
      const bool more = inputs_.next([&](auto&&... e) {
        std::tuple<Element<Rs>...> elements(element_of<Rs>(std::forward<decltype(e)>(e))...);
        reading = false;
        into.set_value(index_, std::apply([this](Element<Rs>&... each)
                                              -> T { return map_call<F, Element<Rs>...>(f_, std::move(each)...); },
                                          elements));
      });
      if (!more) return false;
    } catch (...) {
      if (reading) throw;
      into.set_error(index_, std::current_exception());
    }
    ++index_;
    return true;
  }

 private:
  const F f_;
  Inputs<Rs...> inputs_;
  std::uint64_t index_ = 0;
};

}  // namespace detail

/// The interface of the pools in the calling thread, for debuggers, profilers and small inputs: `submit` runs
/// its task before it returns, a map runs each item when the loop asks for it. Exceptions are outcomes as in
/// the pools: `submit` never throws what the task threw. Options are ignored, but for a timeout that has passed
/// (a negative one), which ends a task before it is run; nothing can be cancelled.
/// Results and arguments may be move-only, and need not travel. Thread-safe: it has no state.
///
/// Example:
///
///     retinue::SerialExecutor serial;
///     for (int s : serial.map(square, std::views::iota(0, 10))) std::cout << s;
class SerialExecutor : public ExecutorInterface<SerialExecutor> {
 public:
  unsigned workers() const noexcept { return 1; }
  /// For schedulers: what runs tasks in the thread that submits them.
  detail::Ref<detail::Backend> backend() const { return detail::make_local_backend(nullptr); }

  template <class F, class... A>
    requires std::invocable<std::decay_t<F>, std::decay_t<A>...>
  auto submit_task(const TaskOptions& options, F&& f, A&&... args) {
    using R = std::remove_cvref_t<std::invoke_result_t<std::decay_t<F>, std::decay_t<A>...>>;
    using Task = detail::CallTask<R, std::decay_t<F>, std::decay_t<A>...>;
    detail::Ref<Task> task(
        new Task(nullptr, detail::ChosenOptions(options).timeout, std::forward<F>(f), std::forward<A>(args)...));
    task->run_here();
    return Future<R>::template on<&Task::take>(std::move(task));
  }

  template <class F, class... Rs>
  auto map_tasks(const TaskOptions& options, detail::Order order, F&& f, Rs&&... inputs) {
    using Function = std::decay_t<F>;
    using T = detail::MapValue<Function, detail::Element<Rs>...>;
    if (detail::ChosenOptions(options).timeout.count() < 0) {
      const auto submit = [](const TaskOptions& each, auto&& call) {
        return SerialExecutor().submit_task(each, std::forward<decltype(call)>(call));
      };
      return MapRange<T>(std::make_unique<detail::TimedMap<T, Function, decltype(submit), Rs...>>(
          options, 1, order, submit, std::forward<F>(f), std::forward<Rs>(inputs)...));
    }
    return MapRange<T>(
        std::make_unique<detail::SerialMap<T, Function, Rs...>>(std::forward<F>(f), std::forward<Rs>(inputs)...));
  }
  /// See detail::Access.
  detail::Access access(const TaskOptions&, const void*) const noexcept { return detail::Access::lent; }
};

}  // namespace retinue
