// Worker processes behind a loop.
#pragma once

#include <retinue/detail/system/requirements.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <sys/types.h>
#include <type_traits>
#include <vector>

#include <retinue/codec.hpp>
#include <retinue/detail/codec/call_traits.hpp>
#include <retinue/detail/codec/payload.hpp>
#include <retinue/detail/tasks/inputs.hpp>
#include <retinue/detail/processes/map_inputs.hpp>
#include <retinue/detail/processes/process_backend.hpp>
#include <retinue/detail/processes/stretch_codec.hpp>
#include <retinue/executor.hpp>
#include <retinue/pool_stats.hpp>
#include <retinue/process_pool_options.hpp>
#include <retinue/shared_array.hpp>

namespace retinue {

/// A pool of worker processes that run functions of this program.
///
/// Workers are forked when the pool is made, so they see all that existed then. Functions, captureless
/// lambdas and templates are found in the workers by name of module and offset; lambdas travel with
/// what they captured by value; arguments and results are encoded (codec.hpp). A worker that dies costs
/// the task it ran (`WorkerDied`) and is replaced.
///
/// Thread-safe, but for construction and destruction. Several pools may live at once, also inside
/// workers. The destructor finishes what was submitted and leaves no process, file or memory behind. In
/// a child that was forked from the owner by other means the pool is closed and its destructor does
/// nothing. Making a pool forks: as with any fork, locks that other threads hold at that moment stay
/// locked in the workers, so make pools early. But not before what tasks use: a pool in a global variable forks its workers
/// while the program's globals are still being made. Those that are made later, further down in the same source or in other
/// sources, are in the workers for ever as they were then, zeros, and their constructors never run there: a task finds an
/// empty string, or crashes in a container. Make pools in `main`, or first used inside of functions.
///
/// How to wait for ever: submit a task that never ends, without a timeout, and destroy the pool. Or keep
/// the pool in a function's static variable and call that function in a task: the workers were forked
/// while the variable was being made, so in them the call waits for that to end, which it never does.
/// (Tasks that need workers of their own make a pool of their own.)
///
/// Example:
///
///     retinue::ProcessPool pool;
///     for (double y : pool.map(simulate, std::views::iota(0, 1000))) plot(y);
class ProcessPool : public ExecutorInterface<ProcessPool> {
 public:
  /// A pool of `workers` processes; 0: one for each CPU that this process may use. Throws
  /// ResourceExhausted if the machine does not give that many, Error for more than 1024. Where this process has much
  /// memory of its own (128 MB) the last of several workers is made when it is needed or a little later, and if it cannot
  /// be had then, it is tried again.
  explicit ProcessPool(unsigned workers = 0) : ProcessPool(with_workers(workers)) {}
  explicit ProcessPool(const ProcessPoolOptions& options);
  ProcessPool(ProcessPool&&) noexcept = default;
  ProcessPool& operator=(ProcessPool&&) = delete;
  /// Finishes what was submitted, however long that takes; see `shutdown` for other ways.
  ~ProcessPool();

  unsigned workers() const noexcept;
  /// The processes of the workers now alive; waits, a second at most, for one that is yet to be made.
  std::vector<pid_t> worker_pids() const;
  PoolStats stats() const;

  /// For schedulers: what runs this pool's tasks.
  detail::Ref<detail::Backend> backend() const {
    core_for_tasks();
    return core_;
  }

  /// Ends the pool: takes no more tasks, finishes those submitted (or cancels what has not started),
  /// ends the workers. A second call waits for the first. Never throws what a task threw.
  void shutdown(bool cancel_pending = false);
  /// Ends the pool at once: running tasks end with `WorkerDied`, others with `Cancelled`. Workers that run no task may leave in
  /// order, and are killed where that takes them longer than 100 ms (a second, while they are using a CPU or a disk).
  void terminate();

  template <class F, class... A>
  auto submit_task(const TaskOptions& options, F&& f, A&&... args) {
    using Call = detail::Call<std::decay_t<F>, A...>;
    Call::check();
    using R = typename Call::Result;
    detail::ProcessBackend& backend = core_for_tasks();
    detail::StagedPayload payload;
    const std::size_t bytes = Call::size(backend.reach(), f, args...);
    Call::write(payload.room(bytes), bytes, backend.reach(), f, std::forward<A>(args)...);
    return Future<R>::template on<&take<R>>(backend.submit(entry_of<Call>(), payload, options));
  }

  template <class F, class... Rs>
  auto map_tasks(const TaskOptions& options, detail::Order order, F&& f, Rs&&... inputs) {
    using Function = std::decay_t<F>;
    using Call = detail::Call<Function, std::ranges::range_reference_t<std::views::all_t<Rs>>...>;
    Call::check();
    using R = typename Call::Result;
    using T = std::conditional_t<std::is_void_v<R>, std::monostate, R>;
    return MapRange<T>(std::make_unique<Map<T, Call, Function, Rs...>>(
        core_for_tasks(), options, order, std::forward<F>(f), std::forward<Rs>(inputs)...));
  }
  /// See detail::Access.
  detail::Access access(const TaskOptions&, const void* data) const {
    if (core().made_elsewhere()) return detail::Access::encoded;  // it takes no tasks
    return detail::is_own_shared(data) ? detail::Access::shared : detail::Access::encoded;
  }

 private:
  static ProcessPoolOptions with_workers(unsigned workers) {
    ProcessPoolOptions options;
    options.workers = workers;
    return options;
  }
  /// The core, or throws Error if this pool was moved from.
  detail::ProcessBackend& core() const;
  /// Likewise, or throws Error if another copy of this library has made the pool: it names functions by another table.
  detail::ProcessBackend& core_for_tasks() const;

  /// The entry of a kind of call: what runs in the worker.
  /// Hidden, as is its name below: one that a plugin has in common with the program would be the program's, which another
  /// copy of this library has named.
  template <class Call>
  [[gnu::visibility("hidden")]] static void run(detail::TaskContext& context) {
    Reader arguments(context.arguments().data(), context.arguments().size(), context.modules());
    const auto ready = [&context] { context.loaded(); };
    if constexpr (std::is_void_v<typename Call::Result>) {
      Call::invoke(arguments, ready);
    } else if constexpr (detail::kTravelsAsBlock<typename Call::Result>) {
      typename Call::Result value = Call::invoke(arguments, ready);
      detail::ArrayResult<typename Call::Result>::send(context, value);
    } else {
      const typename Call::Result value = Call::invoke(arguments, ready);
      const std::size_t bytes = detail::payload_size(value);
      detail::write_payload(context.result_room(bytes), bytes, value);
    }
  }

  template <class Call>
  [[gnu::visibility("hidden")]] static detail::EntryRef entry_of() {
    static const detail::EntryRef entry = detail::name_code(reinterpret_cast<const void*>(&run<Call>));
    return entry;
  }

  template <class R>
  static R decode(std::span<const std::byte> bytes) {
    if constexpr (!std::is_void_v<R>) {
      Reader reader(bytes.data(), bytes.size());
      return detail::read_payload<R>(reader);
    }
  }

  template <class R>
  static R take(detail::EncodedCompletion& task) {
    if constexpr (detail::kTravelsAsBlock<R>) {
      const detail::SharedMemory block = task.take_block();
      return detail::ArrayResult<R>::receive(block,
                                             block.data != nullptr ? std::span<const std::byte>() : task.value_bytes());
    } else {
      return decode<R>(task.value_bytes());
    }
  }

  template <class T, class Call, class Function, class... Rs>
  class Map final : public detail::MapSource<T> {
   public:
    template <class F, class... Gs>
    Map(detail::ProcessBackend& core, const TaskOptions& options, detail::Order order, F&& f, Gs&&... inputs)
        : function_(std::forward<F>(f)),
          runs_(detail::as_runs(inputs...)),
          inputs_(std::in_place, std::forward<Gs>(inputs)...),
          reach_(core.reach()),
          window_(core.open_map(entry_of<Call>(), options, order)) {}
    ~Map() override {
      if (runs_ != nullptr && runs_->are_read_until_the_end()) window_->wait_for_running();
    }

    bool next(Outcome<T>& into) override {
      for (;;) {
        read_inputs();
        detail::MapWindow::Result result;
        switch (window_->next(result, std::nullopt)) {
          case detail::MapWindow::Next::result: deliver(result, into); return true;
          case detail::MapWindow::Next::over:
            if (input_error_) std::rethrow_exception(std::exchange(input_error_, nullptr));
            return false;
          default: break;
        }
      }
    }

   private:
    void read_inputs() {
      if (runs_ != nullptr) window_->tasks_are_steady(runs_->have_settled());
      const std::size_t wanted = input_ended_ ? 0 : window_->wanted();
      if (wanted == 0) return;
      try {
        input_ended_ = detail::read_inputs(*window_, wanted, false, [this] {
          const auto stage_one = [this](auto&&... x) { this->stage(std::forward<decltype(x)>(x)...); };
          return inputs_.next(stage_one) ? detail::InputRead::staged : detail::InputRead::none;
        });
      } catch (...) {  // results of earlier inputs come first
        input_error_ = std::current_exception();
        input_ended_ = true;
      }
      if (auto closed = detail::publish_inputs(*window_)) {
        input_error_ = std::move(closed);
        input_ended_ = true;
      }
      if (input_ended_) window_->inputs_ended();
    }

    template <class... A>
    void stage(A&&... args) {
      const std::size_t bytes = Call::size(reach_, function_, args...);
      std::byte* room = window_->stage(bytes);
      try {
        Call::write(room, bytes, reach_, function_, std::forward<A>(args)...);
      } catch (...) {
        window_->unstage();
        throw;
      }
    }

    void deliver(detail::MapWindow::Result& result, Outcome<T>& into) {
      if (result.error) {
        into.set_error(result.index, std::move(result.error));
        return;
      }
      try {
        if constexpr (std::is_void_v<typename Call::Result>) into.set_value(result.index, T{});
        else if constexpr (detail::kTravelsAsBlock<T>)
          into.set_value(result.index, detail::ArrayResult<T>::receive(window_->take(), result.value));
        else into.set_value(result.index, decode<T>(result.value));
      } catch (...) {
        into.set_error(result.index, std::current_exception());
      }
    }

    Function function_;
    const detail::InputRuns* runs_;  // nullptr if the inputs are none
    detail::Inputs<Rs...> inputs_;
    const Reach reach_;
    std::unique_ptr<detail::MapWindow> window_;
    std::exception_ptr input_error_;
    bool input_ended_ = false;
  };

  detail::Ref<detail::ProcessBackend> core_;
};

}  // namespace retinue
