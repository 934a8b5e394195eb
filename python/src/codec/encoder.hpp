// Python values as the bytes of a payload.
//
// A payload is a head, and after it externals: large contents, each at the next multiple of 64 bytes, in the order
// in which the head names them.
//
//     u32 bytes of the head | tagged values ... | pad | external | pad | external ...
//
// Numbers, strings, bytes and tuples of them are written as they are, and so is one list, set or dict of these; all else
// is pickled (protocol 5, buffers as externals). One only, because two lists in one payload may be the same list,
// which only a pickle can tell; but one that nothing else refers to than the place where it was found is nowhere else,
// unless that place is in a tuple which itself may be in several.
// Many ints or floats in a row are written without a tag each. What the tasks of a map have in common is not in their
// payloads: it lies in a block of its own, which they name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include <retinue/detail/codec/checks.hpp>
#include <retinue/detail/codec/room.hpp>

#include "codec/value_tag.hpp"
#include "interpreter/python.hpp"

namespace retinue::python {

/// What is recorded of a buffer beside a pickle.
enum BufferFlags : std::uint8_t { kReadOnly = 1, kElsewhere = 2 };

constexpr std::size_t kExternalAlignment = 64;
constexpr std::size_t align_external(std::size_t n) noexcept {
  return (n + kExternalAlignment - 1) / kExternalAlignment * kExternalAlignment;
}

class CommonBuffers;

/// Throws PythonError (PicklingError, with the reason) if there is shared memory in this list of what a payload names, or null,
/// and its reader does not have it.
void check_reach(Reach reach, PyObject* kept);

/// Writes one payload. Used by one thread, with the GIL held; pickling runs Python code.
class Encoder {
 public:
  /// `scope` says which names of `__main__` the other side knows (retinue._pickling.Scope), or null for all.
  /// `common`: where large contents go that other tasks may have too, or null.
  /// `again`: the payload may be read more than once.
  /// `reach`: whether the reader has this process's shared memory. If not, what is in it travels by content or not at all.
  explicit Encoder(PyObject* scope, Reach reach, CommonBuffers* common = nullptr, bool again = false) noexcept
      : scope_(scope), common_(reach == Reach::same_region ? common : nullptr), again_(again), reach_(reach) {}
  ~Encoder();
  Encoder(const Encoder&) = delete;
  Encoder& operator=(const Encoder&) = delete;

  template <class T>
  void number(T value) {
    raw(&value, sizeof value);
  }
  void raw(const void* bytes, std::size_t n) { std::memcpy(grow(n), bytes, n); }
  /// A value in any way. Throws PythonError if it cannot be pickled, or names shared memory that the reader does not have.
  void value(PyObject* object);
  /// As values one after the other; false, and nothing is written, if they need to be pickled as one.
  bool values(PyObject* const* objects, std::size_t count);
  /// What is in the head since `position`.
  std::string_view written_since(std::size_t position) const noexcept {
    return {reinterpret_cast<const char*>(head_) + position, head_size_ - position};
  }
  /// Bytes, or a list of them that belong together, which go outside the head if they are many.
  void pickled(PyObject* pickle, PyObject* buffers);

  /// What must live until the task has run: shared memory that is only named. A list, or null.
  const Object& kept() const noexcept { return kept_; }
  /// Some of it (descriptors) must go when the task has ended, and not only when its result is read.
  bool kept_to_the_end() const noexcept { return kept_to_the_end_; }

  /// Where the next byte of the head goes; `rewind` forgets what was written to the head since.
  std::size_t position() const noexcept { return head_size_; }
  void rewind(std::size_t position) noexcept { head_size_ = position; }

  /// To write another payload: forgets all but the head up to `position`.
  void begin_again(std::size_t position) noexcept {
    head_size_ = position;
    containers_ = 0;
    one_seen_ = several_ = false;
    if (!externals_.empty()) release_externals();
    if (kept_) kept_ = Object();
    kept_to_the_end_ = false;
    if (capacity_ > kMuch && capacity_ / 2 > position) release_head();
  }

  /// Of the whole payload.
  std::size_t size() const noexcept { return externals_.empty() ? head_size_ : size_with_externals(); }
  /// Writes all of it to `room`, of size() bytes; releases the GIL while it copies much.
  void write_to(std::byte* room) const;
  /// The same, into memory that may still have to be made. Throws ResourceExhausted.
  void write_to(const detail::Room& room) const;

 private:
  static constexpr std::size_t kInline = 512;
  static constexpr std::size_t kMuch = std::size_t{64} << 10;  // not kept for the next payload
  static constexpr std::size_t kOutside = 4096;                // contents from here on go outside the head
  static constexpr int kDepth = 8;
  static constexpr std::size_t kFewestPacked = 8;
  struct External {
    const void* data;
    std::size_t size;
    Object owner;
    Py_buffer view;        // .obj is null if unused
    bool goes_on = false;  // right behind the one before, which it is part of
    std::size_t begin_after(std::size_t end) const noexcept { return goes_on ? end : align_external(end); }
  };
  struct Mark;

  void tag(ValueTag t) { number(t); }
  std::size_t size_with_externals() const noexcept;
  void release_externals() noexcept;
  void release_head() noexcept;
  bool may_be_simple(PyObject* object) const noexcept;
  bool simple(PyObject* object, int depth, bool repeated = false);
  bool sequence(PyObject* object, ValueTag tagged, ValueTag packed, int depth, bool repeated = false);
  bool numbered_dict(PyObject* dict, int depth);
  bool packed(ValueTag as, PyObject* const* items, std::size_t count);
  template <class T, class Read>
  bool packed_as(PackedKind kind, ValueTag as, PyObject* const* items, std::size_t count, Read&& read);
  bool is_elsewhere(PyObject* container, int depth, bool repeated) noexcept;
  bool is_in_several(PyObject* object) const noexcept;
  bool simple_text(PyObject* object);
  bool simple_bytes(PyObject* object);
  bool shared(PyObject* object);
  void keep(PyObject* object);
  void outside(const void* data, std::size_t size, PyObject* owner);
  Mark mark() const noexcept;
  void roll_back(const Mark& mark) noexcept;
  std::byte* grow(std::size_t n) {
    if (n > capacity_ - head_size_) [[unlikely]]
      make_room(n);
    std::byte* at = head_ + head_size_;
    head_size_ += n;
    return at;
  }
  void make_room(std::size_t n);

  PyObject* scope_;
  CommonBuffers* common_;
  bool again_;
  Reach reach_;
  bool kept_to_the_end_ = false;
  std::byte inline_[kInline];
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free>
      heap_;  // the head, once it has outgrown inline_: not cleared, and moved by the system
  std::byte* head_ = inline_;
  std::size_t head_size_ = sizeof(std::uint32_t);
  std::size_t capacity_ = kInline;
  std::vector<External> externals_;
  int containers_ = 0;     // that may be elsewhere in the payload, too
  bool one_seen_ = false;  // of any kind
  bool several_ = false;
  bool alone_ = true;  // one at most of the values is a tuple or container
  Object kept_;
};

}  // namespace retinue::python
