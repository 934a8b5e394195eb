// A map over a pool as a Python iterator.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include <retinue/detail/pool/process_tasks.hpp>

#include "calls.hpp"
#include "common_buffers.hpp"
#include "waiting.hpp"

namespace retinue::python {

/// What a map is asked to be.
struct MapPlan {
  detail::CoreRef core;
  FunctionRef function;
  Object bound;      ///< what split_partial gave, or null: arguments that all tasks have
  Object iterators;  ///< a tuple: walked together, up to the shortest
  std::size_t length = kUnknown;  ///< how many inputs there are, if one of them tells its length
  static constexpr std::size_t kUnknown = ~std::size_t{0};
  bool star = false; ///< one iterator, of tuples of arguments
  TaskOptions options;
  detail::Order order = detail::Order::inputs;
  Deadline deadline;
  Object scope;
};

/// The inputs and the tasks of one map. With the GIL held, except while it waits. One caller at a time: a second
/// one, from another thread or from an input that asks for a result, gets a ValueError.
///
/// Inputs are read as far ahead as the engine's window says. A map nobody has begun to read when it or its pool goes
/// is not dropped: `read_all` hands in what is left, as with concurrent.futures, where a map runs even if nobody looks.
class MapTasks {
 public:
  explicit MapTasks(MapPlan plan);
  ~MapTasks() { leave_to_engine(); }
  MapTasks(const MapTasks&) = delete;
  MapTasks& operator=(const MapTasks&) = delete;

  /// The next result; null at the end. Throws PythonError with the failed item's exception, after which it goes on.
  Object next() { return next(plan_.deadline); }
  /// Likewise, but with a deadline of its own; sets `timed_out` instead of raising TimeoutError.
  Object next_until(const Deadline& deadline, bool& timed_out);
  /// Reads inputs as far as the window goes, so that tasks start before the first result is asked for; all of them if
  /// they are few and small, for there are programs that never ask.
  void start();
  /// Reads the inputs to their end.
  void read_all();
  /// True if the next result would be the first, and the inputs have not been read to the end.
  bool untouched() const noexcept { return !begun_; }
  bool inputs_ended() const noexcept { return inputs_ended_; }
  /// Before its pool ends: unless its inputs may have no end, or another thread is just reading them.
  bool should_be_read_at_the_end() const noexcept {
    return !inputs_ended_ && !busy_ && (untouched() || plan_.length != MapPlan::kUnknown);
  }
  /// Takes back what has not started and forgets the inputs.
  void close() noexcept;
  bool closed() const noexcept { return window_ == nullptr; }
  /// The pool's end is in `read_all`, in another thread, which has yet to finish.
  bool is_being_read_to_its_end() const noexcept { return busy_ && all_read_by_ != 0; }
  /// Lets go of results that are there; true if no input and no task is left.
  bool drop_results();
  int traverse(visitproc visit, void* arg) const noexcept;

 private:
  class Busy;
  bool wait_for_read_all(const Deadline& deadline) const;
  Object next(const Deadline& deadline);
  enum class Weight { light, any };
  void read_inputs(std::size_t wanted, Weight weight = Weight::light);
  bool read_one();
  void publish();
  void publish_what_is_staged();
  void stage(PyObject* const* arguments, std::size_t count, bool ready);
  void stage_tuple(PyObject* arguments, bool ready);
  void stage_star(PyObject* arguments);
  void write_bound();
  void leave_to_engine() noexcept;
  void encode(Encoder& encoder, PyObject* const* arguments, std::size_t count);
  void stage_encoded(const Encoder& encoder);
  void put_off(PyObject* const* arguments, std::size_t count);
  void stage_error(const Object& error);
  Object read(detail::MapWindow::Result& result);

  MapPlan plan_;
  std::unique_ptr<detail::MapWindow> window_;
  CommonBuffers common_;
  std::string bound_;  // how the bound arguments travel
  Object bound_kept_;  // the Python objects that they name ...
  detail::KeptMemory bound_blocks_;  // ... and the memory
  Object pending_;     // the arguments of an item that waits for memory: a tuple
  Object input_error_;
  std::unordered_map<std::uint64_t, Object> kept_;  // by the index of the task that needs it
  std::uint64_t staged_ = 0;
  std::size_t staged_bytes_ = 0;
  bool inputs_ended_ = false;
  bool begun_ = false;
  bool busy_ = false;
  unsigned long all_read_by_ = 0;  // the thread that is in read_all, or 0
  bool interrupted_ = false;  // by Ctrl-C, in the last wait: nobody wants what runs, once this is dropped
};

extern PyTypeObject MapType;
Object make_map(std::shared_ptr<MapTasks> tasks, PyObject* pool);

}  // namespace retinue::python
