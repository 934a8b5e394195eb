// What the tasks of a chaos run do, and the data they carry: all of it a function of the task alone.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <retinue/exceptions.hpp>
#include <retinue/shared_array.hpp>

namespace retinue_chaos {

/// What a task does besides its sum.
enum class Behaviour : std::uint8_t {
  plain,
  nap,                  ///< sleeps for some milliseconds
  throw_standard,       ///< an exception of the standard library
  throw_registered,     ///< one that travels as itself
  throw_foreign,        ///< one that arrives as RemoteError
  leave,                ///< _exit
  crash,                ///< a signal of its own, from a wild write to SIGKILL
  stop,                 ///< SIGSTOP of its own worker; the fault thread lets it go on
  exhaust_memory,       ///< takes memory up to a limit: std::bad_alloc
  exhaust_descriptors,  ///< opens files up to a limit, and closes them
  hoard_descriptors,    ///< the same, and its worker keeps them open
  grow,                 ///< leaves its worker with more memory than it had
  fork_child,           ///< forks a child and waits for it
  fork_orphan,          ///< forks a child that outlives the task, perhaps the worker
  fork_return,          ///< forks a child that returns from the task as if it were the worker
  nest,                 ///< a pool of its own, with a death in it
  linger,               ///< never ends by itself; the plan gives it a time limit or a forced cancel
  kCount
};
/// By which data a task gets its arguments and gives its result.
enum class Shape : std::uint8_t {
  number,     ///< to a number
  made_text,  ///< to a text made in the worker
  text,       ///< a text to another
  numbers,    ///< a vector to another
  array,      ///< to a SharedArray
  span,       ///< writes in a SharedArray of the owner's
  slow,       ///< a text whose Codec takes its time, on both ways
  refusing,   ///< a text whose Codec throws somewhere on the way
  kCount
};

std::string_view name_of(Behaviour behaviour);
std::string_view name_of(Shape shape);

/// Travels to the worker as it is.
struct Task {
  std::uint64_t seed = 0;
  std::uint32_t index = 0;   ///< in its round; its place on the board
  std::uint32_t size = 0;    ///< of its payloads, in bytes
  std::uint32_t millis = 0;  ///< for behaviours that take time
  Behaviour behaviour = Behaviour::plain;
  Shape shape = Shape::number;
};

/// True if this behaviour ends its worker.
constexpr bool is_deadly(Behaviour behaviour) { return behaviour == Behaviour::leave || behaviour == Behaviour::crash; }
/// How a deadly task says that it ends: a signal, or minus one and the exit code.
int signal_of(const Task& task);
int exit_code_of(const Task& task);

/// An exception that travels as itself, with a number besides its text.
struct Upset : std::runtime_error {
  Upset(const std::string& what, std::uint64_t mark_) : std::runtime_error(what), mark(mark_) {}
  std::uint64_t mark;
};
/// One that nobody has registered.
struct Foreign : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// A task found its arguments, its worker or its own pool other than they must be.
struct Wrong : std::logic_error {
  using std::logic_error::logic_error;
};

/// A text that takes its time on the way.
struct SlowText {
  std::string text;
  std::uint32_t micros = 0;  ///< for each time it is written or read
};
/// A text that does not get through: one of the four ends of its ways throws.
struct RefusingText {
  enum class Where : std::uint8_t { argument_written, argument_read, result_written, result_read };
  std::string text;
  Where where = Where::argument_written;
  bool is_result = false;
};
RefusingText::Where refusal_of(const Task& task);
/// What a refusing text throws, as text.
inline constexpr std::string_view kRefusal = "this text does not travel";

// The data: what a task is given, and the sum by which a result is known.
std::string text_of(std::uint64_t seed, std::size_t bytes);
std::vector<std::uint64_t> numbers_of(std::uint64_t seed, std::size_t count);
std::uint64_t digest(const void* data, std::size_t bytes);

// The tasks. Each notes on the board that it runs, and does what it is to do.
std::uint64_t to_number(Task task);
std::string to_made_text(Task task);
std::string to_text(Task task, std::string text);
std::vector<std::uint64_t> to_numbers(Task task, std::vector<std::uint64_t> numbers);
retinue::SharedArray<std::uint64_t> to_array(Task task);
std::uint64_t to_span(Task task, retinue::SharedSpan<std::uint64_t> span);
SlowText to_slow(Task task, SlowText text);
RefusingText to_refusing(Task task, RefusingText text);

/// Does what a task is to do, in its worker: does not return from a deadly one.
void commit(const Task& task);

/// For initializers: from here on the tasks of this worker are content, if the owner expected this mark when it made
/// the pool. Zero is what every process has.
void mark_worker(std::uint64_t mark);
void expect_mark(std::uint64_t mark);

}  // namespace retinue_chaos

template <>
struct retinue::Codec<retinue_chaos::Upset> {
  template <class W>
  static void write(W& w, const retinue_chaos::Upset& e) {
    w(std::string(e.what()), e.mark);
  }
  static retinue_chaos::Upset read(retinue::Reader& r) {
    auto what = r.value<std::string>();
    return {what, r.value<std::uint64_t>()};
  }
};

namespace retinue_chaos {
inline const bool upset_travels = retinue::exception_travels<Upset>;
void take_time(std::uint32_t micros);
[[noreturn]] void refuse();
}  // namespace retinue_chaos

template <>
struct retinue::Codec<retinue_chaos::SlowText> {
  template <class W>
  static void write(W& w, const retinue_chaos::SlowText& s) {
    w(s.micros);
    retinue_chaos::take_time(s.micros);
    w(s.text);
  }
  static retinue_chaos::SlowText read(retinue::Reader& r) {
    const auto micros = r.value<std::uint32_t>();
    retinue_chaos::take_time(micros);
    return {r.value<std::string>(), micros};
  }
};

template <>
struct retinue::Codec<retinue_chaos::RefusingText> {
  using Text = retinue_chaos::RefusingText;
  template <class W>
  static void write(W& w, const Text& t) {
    w(t.text);
    if (t.where == (t.is_result ? Text::Where::result_written : Text::Where::argument_written)) retinue_chaos::refuse();
    w(t.where, t.is_result);
  }
  static Text read(retinue::Reader& r) {
    Text t{r.value<std::string>(), {}, false};
    t.where = r.value<Text::Where>();
    t.is_result = r.value<bool>();
    if (t.where == (t.is_result ? Text::Where::result_read : Text::Where::argument_read)) retinue_chaos::refuse();
    return t;
  }
};
