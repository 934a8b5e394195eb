// What travels of a call: the function, once per worker, and the arguments.
//
//     owner -> worker   u8 CallKind, function, u8 ArgumentsKind, arguments
//     worker -> owner   u8 ResultKind, value | (pickle or None, type name, message, traceback)
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <retinue/detail/codec/entry.hpp>
#include <retinue/shared_array.hpp>

#include "codec/encoder.hpp"
#include "codec/scalars.hpp"

namespace retinue::python {

enum class FunctionKind : std::uint8_t {
  here,      ///< a pickle, loaded for this call
  cached,    ///< u64 id, u32 length, pickle: loaded once per worker
  in_block,  ///< u64 address of shared memory, where u64 id, u64 length and pickle lie: likewise
  raise,     ///< no function: the arguments are the description of an exception, which is the result
};
enum class ArgumentsKind : std::uint8_t {
  values,      ///< u32 count, that many values
  tuple,       ///< a value, the tuple of all
  with_names,  ///< a value, the tuple of (tuple, dict)
  star,        ///< a value, one iterable of all: for starmap
  bound,       ///< of a partial: a value, the tuple of (tuple, dict); then u32 count and that many values, or kInTuple
               ///< and one value, a tuple; they come behind the bound tuple
};
constexpr std::uint32_t kInTuple = ~std::uint32_t{0};
enum class ResultKind : std::uint8_t { value, exception };

/// What lies before the pickle of a function in a block.
constexpr std::size_t kBlockHead = 16;

/// A function as it travels. Immutable; whoever has submitted a call with it keeps it until that call has run.
class Function {
 public:
  /// A large `cached` one becomes `in_block` where workers have this process's shared memory. `kept`: what must live as long,
  /// or null. Throws PythonError if it names shared memory that workers do not have.
  Function(PyObject* callable, FunctionKind kind, Reach reach, const char* bytes, std::size_t size, Object kept);
  ~Function();
  Function(const Function&) = delete;
  Function& operator=(const Function&) = delete;

  void write(Encoder& encoder) const { encoder.raw(prefix_.data(), prefix_.size()); }
  /// The same function, to the workers, in a block of its own; or `function` if it is not `cached`, or there is no memory.
  static std::shared_ptr<const Function> in_block(std::shared_ptr<const Function> function, Reach reach);
  /// True if it was made of this very object, and not of one that lay at the same address.
  bool is_of(PyObject* callable) const noexcept;
  /// It names memory, so it must live until the calls it was submitted for have ended.
  bool must_be_kept() const noexcept { return block_.data != nullptr || kept_; }
  /// See Encoder::kept_to_the_end.
  bool kept_to_the_end() const noexcept { return kept_ && !PyList_CheckExact(kept_.get()); }
  std::size_t bytes() const noexcept { return prefix_.size() + block_.bytes; }

 private:
  Function() = default;
  void write_block(std::uint64_t id, const char* bytes, std::size_t size);

  std::string prefix_;
  detail::SharedMemory block_;
  Object callable_;  // a weak reference to what its identity stands for, or null
  Object kept_;
};
using FunctionRef = std::shared_ptr<const Function>;

/// The functions that one pool has sent. With the GIL held. `reach` is that of its backend, and never another.
class Functions {
 public:
  /// For a submit: functions that carry no state are known by identity or by content, others travel each time.
  /// `again`: the call may be run again.
  FunctionRef for_submit(PyObject* callable, PyObject* scope, Reach reach, bool again);
  /// For a map, whose workers load it once; for each task, if it holds descriptors, which must not stay open in workers.
  /// It lies in a block of the map's, so that a task with a number as its argument is no longer than the first cache line of its slot.
  FunctionRef for_map(PyObject* callable, PyObject* scope, Reach reach);

 private:
  static constexpr std::size_t kMax = 1024;
  static constexpr std::size_t kMaxBytes = std::size_t{16} << 20;  // or one that is larger
  std::unordered_map<PyObject*, FunctionRef> by_identity_;
  std::unordered_map<std::string, FunctionRef> by_content_;
  std::size_t content_bytes_ = 0;
};

/// A tuple of these.
Object tuple_of(PyObject* const* objects, std::size_t count);
/// Writes arguments so that `read_and_call` finds them. `names`: keyword names, their values behind the `count`
/// positional ones, or null.
void write_arguments(Encoder& encoder, PyObject* const* arguments, std::size_t count, PyObject* names);
/// The same behind arguments that are written already, as `bound`.
void write_arguments_after(Encoder& encoder, std::string_view bound, PyObject* const* arguments, std::size_t count);
/// A call that ends with this exception.
void write_raise(Encoder& encoder, PyObject* error);

/// For tests, _encode_call(function, arguments, scope, same_region) -> bytes: a call as `submit` sends it.
PyObject* encode_call(PyObject*, PyObject* arguments) noexcept;

/// How a call ended: one of the two.
struct Outcome {
  Object value, error;
};
/// The value that a call gave, if it is a number or the like (codec/scalars.hpp); else null, for `read_outcome`. Throws
/// PythonError where there is no memory.
inline Object read_scalar_outcome(std::span<const std::byte> payload) {
  constexpr std::size_t kBefore = sizeof(std::uint32_t) + sizeof(ResultKind);
  std::uint32_t head = 0;
  if (payload.size() <= kBefore || payload.size() > kBefore + kMaxScalar) return Object();
  std::memcpy(&head, payload.data(), sizeof head);
  if (head != payload.size() || static_cast<ResultKind>(payload[sizeof head]) != ResultKind::value) return Object();
  return read_scalar(payload.data() + kBefore, payload.size() - kBefore);
}
/// The same in the other direction: writes the payload to `room`, of kMaxScalarOutcome bytes, and gives its size, or 0.
constexpr std::size_t kMaxScalarOutcome = sizeof(std::uint32_t) + sizeof(ResultKind) + kMaxScalar;
inline std::size_t write_scalar_outcome(PyObject* value, std::byte* room) noexcept {
  constexpr std::size_t kBefore = sizeof(std::uint32_t) + sizeof(ResultKind);
  const std::size_t size = write_scalar(value, room + kBefore);
  if (size == 0) return 0;
  const auto head = static_cast<std::uint32_t>(kBefore + size);
  std::memcpy(room, &head, sizeof head);
  room[sizeof head] = static_cast<std::byte>(ResultKind::value);
  return head;
}
/// Reads how a call ended; `source` holds the payload, or is null if that is small. Throws PythonError if it cannot be
/// read.
Outcome read_outcome(std::span<const std::byte> payload, std::shared_ptr<const void> source);
/// True if the exception that is set is the business of the value at hand; false for a KeyboardInterrupt and its like,
/// which are for whoever is waiting.
bool concerns_value() noexcept;

}  // namespace retinue::python
