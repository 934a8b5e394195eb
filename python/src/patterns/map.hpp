// A map over a pool as a Python iterator.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <retinue/detail/processes/process_backend.hpp>

#include "interpreter/waiting.hpp"
#include "memory/common_buffers.hpp"
#include "patterns/records.hpp"
#include "tasks/calls.hpp"

namespace retinue::python {

/// When the inputs of a map are read.
enum class Reading : std::uint8_t {
  lazily,     ///< as results are taken
  in_call,    ///< in the call that makes the map, up to a bound; the rest lazily
  in_thread,  ///< in a thread of their own
  later,      ///< lazily, but lists as they are now: by `read_all_in_call`
};

/// What a map is asked to be.
struct MapPlan {
  detail::Ref<detail::ProcessBackend> core;
  FunctionRef function;
  Object bound;                   ///< what split_partial gave, or null: arguments that all tasks have
  Object iterators;               ///< a tuple: walked together, up to the shortest
  std::size_t length = kUnknown;  ///< how many inputs there are, if one of them has a length
  static constexpr std::size_t kUnknown = ~std::size_t{0};
  Reading reading = Reading::lazily;
  bool results_first = false;  ///< a result that is there is given before code of the inputs runs
  bool star = false;           ///< one iterator, of tuples of arguments
  TaskOptions options;
  detail::Order order = detail::Order::inputs;
  Deadline deadline;
  Object timeout;  ///< what it came of, for messages; null: none
  Object scope;
};

/// Fills in `iterators`, `length` and `reading`, which becomes `lazily` where the inputs cannot change: tuples, ranges,
/// `itertools.count` and `repeat`, and lists, of whose references a snapshot is taken, unless they are to be read lazily
/// anyway. Runs code of the iterables. Throws PythonError.
void take_inputs(MapPlan& plan, PyObject* iterables, Reading reading);
/// A tuple with other iterators in place of those over lists.
Object with_lists_as_they_are_now(PyObject* iterators);

/// The inputs and the tasks of one map. With the GIL held, except while it waits. One caller at a time: a second
/// one, from another thread or from an input that asks for a result, gets a ValueError.
///
/// An input is encoded as it is read, for a generator may fill one buffer again and again. Where it goes from there:
///
///     lazily     into the window, as far as the engine says. A map nobody has begun to read when it or its pool goes
///                is not dropped: `read_all` submits what is left, as with concurrent.futures, where a map runs
///                even if nobody looks.
///     in_call    into the window as long as that holds fewer than kMaxSubmitted, and each is submitted before the next
///                is read, for that may wait for it; else into `calls_`. Small results are taken meanwhile.
///     in_thread  into `calls_`, by the reader (map_reader.cpp). From there it is submitted by whoever is in `next`, or
///                by the reader if nobody is.
///
/// The window is touched only by who has `busy_`; the reader takes that without releasing the GIL. All else is
/// guarded by the GIL; what code of the inputs may run under is said where it matters.
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
  /// Reads inputs in the call, if that was asked for: throws PythonError with what they raise, and has then cancelled
  /// what has not started. Else as far as the window goes, so that tasks start before the first result is asked for; all
  /// of them if they are few and small, for there are programs that never ask.
  void start();
  /// Inputs were more than are read in the call.
  bool was_too_much() const noexcept { return too_much_; }
  /// Submits what has been read, and reads the inputs to their end, unless they may have none.
  void read_all();
  /// Likewise, in the call that makes the map: throws PythonError with what the inputs raise.
  void read_all_in_call();
  /// True if the next result would be the first, and the inputs have not been read to the end.
  bool untouched() const noexcept { return !begun_; }
  /// Before its pool ends: unless its inputs may have no end, or another thread is just reading them.
  bool should_be_read_at_the_end() const noexcept {
    return !inputs_ended_ && !busy_ && !has_reader_ && (may_be_read_to_the_end() || !calls_.empty());
  }
  /// Cancels what has not started and forgets the inputs.
  void close() noexcept;
  bool closed() const noexcept { return window_ == nullptr; }
  /// The parent's, in the child of a fork.
  bool is_made_elsewhere() const noexcept { return plan_.core->made_elsewhere(); }
  /// The pool's end is in `read_all`, in another thread, which has yet to finish.
  bool is_being_read_to_its_end() const noexcept { return busy_ && all_read_by_ != 0; }
  /// Releases results that are there; true if no input and no task is left.
  bool drop_results();
  int traverse(visitproc visit, void* arg) const noexcept;

  // The reader, see map_reader.cpp ------------------------------------------------------------------
  bool wants_reader() const noexcept { return plan_.reading == Reading::in_thread; }
  /// From now on a thread is about to call `read_ahead`, or after `read_lazily` none is.
  void expect_reader() noexcept { has_reader_ = true; }
  void read_lazily() noexcept;
  /// The thread's work: reads the inputs to their end. With the GIL held.
  void read_ahead();
  bool has_reader() const noexcept { return has_reader_; }
  /// All inputs are to be submitted, whether or not somebody takes results.
  void read_without_bound() noexcept;
  /// Nobody will look at results.
  void go_on_alone() noexcept;
  /// The pool takes no more: what is not submitted is given up. Does not wait for the reader.
  void end_reading() noexcept;

 private:
  class Busy;
  class SubmitAtEnd;
  static constexpr std::size_t kMaxSubmitted = 4096;
  static constexpr std::size_t kMuch = std::size_t{64} << 20;  // bytes read in the call at most
  static constexpr std::size_t kSmallResult = 512;

  bool may_be_read_to_the_end() const noexcept { return untouched() || plan_.length != MapPlan::kUnknown; }
  bool wait_for_read_all(const Deadline& deadline) const;
  Object next(const Deadline& deadline);
  void leave_to_engine() noexcept;
  void give_up() noexcept;
  /// The value, or raises the exception, which then says that it is of the item with that index.
  Object give(Outcome outcome, std::uint64_t index);
  Object read(detail::MapWindow::Result& result);
  bool wait_for_result(detail::MapWindow::Result& result, detail::MapWindow::Next& found, const Deadline& deadline);
  [[noreturn]] void raise_input_error();
  void take_results();
  Object read_taken();

  // Inputs, see map_inputs.cpp ----------------------------------------------------------------------
  void write_prefix();
  bool read_one();
  bool stage_scalar(PyObject* argument);
  void stage(PyObject* const* arguments, std::size_t count, bool ready);
  void stage_tuple(PyObject* arguments, bool ready);
  void stage_star(PyObject* arguments);
  void stage_error(const Object& error);
  void defer(PyObject* const* arguments, std::size_t count);
  enum class Payload { behind_prefix, whole };
  void stage_encoded(const Encoder& encoder, Payload payload);
  bool goes_to_calls() const noexcept;
  std::size_t new_bytes_of(PyObject* kept);
  void keep_in_window(detail::KeptMemory kept, std::size_t bytes);
  bool nothing_under_way() const noexcept;

  // When they are read, and where they go then, see map_reading.cpp ---------------------------------
  void read_in_call();
  void read_inputs(std::size_t wanted, bool heavy_too = false);
  void publish();
  void publish_what_is_staged();
  bool submit_one();
  void submit_read(std::size_t most);
  void submit_what_fits();
  void submit_or_read();
  void fail_oldest(const Object& error);

  // The reader, see map_reader.cpp ------------------------------------------------------------------
  bool has_room() const noexcept;
  void pass_on();
  void wait_for_room();
  void wait_for_pass_on() const noexcept;
  void wake_reader() noexcept;
  void wake_reader_for_more() noexcept;
  bool wait_for_other_reader(PyObject* iterators);

  MapPlan plan_;
  std::unique_ptr<detail::MapWindow> window_;
  bool pure_;  // reading inputs runs no code of the program's
  CommonBuffers common_;
  Encoder item_;        // of the item at hand; its payload begins with ...
  std::string prefix_;  // ... how the function and the bound arguments travel
  bool has_bound_ = false;
  std::string before_scalar_;        // all of a payload but its one argument, and the size of the whole
  Object bound_kept_;                // the Python objects that the bound ones name ...
  detail::KeptMemory bound_blocks_;  // ... and the memory
  Object pending_;                   // the arguments of an item that waits for memory: a tuple
  Object input_error_;
  std::unordered_map<std::uint64_t, Object> kept_;  // by the index of the task that needs it
  std::uint64_t staged_ = 0;                        // inputs read and encoded
  std::size_t staged_bytes_ = 0;
  bool read_to_end_ = false;   // the inputs
  bool inputs_ended_ = false;  // and all are submitted, or given up
  bool begun_ = false;
  bool busy_ = false;
  unsigned long all_read_by_ = 0;  // the thread that is in read_all, or 0
  bool interrupted_ = false;       // by Ctrl-C, in the last wait: nobody wants what runs, once this is dropped

  Records calls_;  // read and not submitted: arguments, or where marked, whole payloads
  struct Named {
    std::uint64_t index;
    detail::KeptMemory memory;
    std::size_t bytes;
  };
  std::deque<Named> calls_name_;  // memory that some of these name, oldest first
  std::size_t named_bytes_ = 0;

  bool in_call_ = false;
  std::unordered_set<PyObject*> counted_;  // shared memory that arguments name; not kept
  bool too_much_ = false;
  Records results_;  // taken during the call; where marked, the next of ...
  struct Taken {
    std::shared_ptr<const void> source;
    std::span<const std::byte> value;
    std::exception_ptr error;
  };
  std::deque<Taken> large_results_;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> taken_indices_;  // of all that were taken: runs, from and until

  bool has_reader_ = false;
  unsigned long reader_ = 0;   // its thread
  bool in_input_ = false;      // the reader is in code of the inputs, or encodes
  bool passes_on_ = false;     // the reader has `busy_`
  bool reader_waits_ = false;  // for `room_` to change
  std::atomic<int> room_{0};
  bool consumer_waits_ = false;  // without the GIL ...
  bool nothing_waits_ = false;   // ... and nothing is under way
  bool consumer_nudged_ = false;
  bool stop_ = false;  // the reader is to end
  bool without_bound_ = false;
  bool alone_ = false;
  std::size_t look_ahead_ = 0;  // the window's
};

class PoolMaps;
extern PyTypeObject MapType;
/// The iterator over their results, MapType or a subtype. It keeps `pool`, to which `maps` belong.
Object make_map(PyTypeObject* type, std::shared_ptr<MapTasks> tasks, PoolMaps& maps, PyObject* pool);

}  // namespace retinue::python
