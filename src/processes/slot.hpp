// The fixed record of one task in shared memory, and the life of its state word.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace retinue::detail {

/// Where a slot stands. Who may change it, by what, and to what:
///
/// | from                              | by                     | to              | how                        |
/// | --------------------------------- | ---------------------- | --------------- | -------------------------- |
/// | free, or done and owned by nobody | owner (pool's mutex)   | ready           | store                      |
/// | ready                             | any worker: *claim*    | running(worker) | compare-and-swap           |
/// | ready                             | owner: *cancel*        | free            | compare-and-swap           |
/// | running(worker)                   | that worker: *finish*  | done            | exchange                   |
/// | running(worker)                   | owner: *mark for kill* | marked for kill | compare-and-swap           |
/// | marked for kill                   | that worker: *finish*  | done            | exchange; then it must die |
///
/// What the owner keeps beside it, in private memory: whose a slot is. *Collect* (of a done slot) and
/// *reclaim* (of one that is running or marked for kill, once its worker is dead) make it nobody's, and leave the word.
///
/// The owner marks a slot for kill before it has its worker killed, so that the worker cannot go on to an
/// innocent task in between: a worker that finishes a slot that is marked for kill waits for its end.
enum class Tag : std::uint8_t { free = 0, ready = 1, running = 2, done = 3, marked_for_kill = 4 };

/// The state word: tag, what to ring at the end, the worker, and the position in the order of
/// submission (its low 40 bits). A position is used once in 2^40 tasks, so that a compare-and-swap by
/// a process that slept cannot mistake a later task for the one it saw.
class SlotState {
 public:
  static constexpr std::uint64_t kRingOwner = 1u << 4;    ///< finish must ring the owner's doorbell
  static constexpr std::uint64_t kRingService = 1u << 5;  ///< finish must ring the service thread
  static constexpr std::uint64_t kRings = kRingOwner | kRingService;
  static constexpr std::uint64_t kPositionMask = (std::uint64_t{1} << 40) - 1;

  static constexpr std::uint64_t ready(std::uint64_t position, std::uint64_t rings) noexcept {
    return static_cast<std::uint64_t>(Tag::ready) | rings | position << 24;
  }
  static constexpr std::uint64_t running(std::uint64_t ready_state, unsigned worker) noexcept {
    return (ready_state & ~std::uint64_t{0xf}) | static_cast<std::uint64_t>(Tag::running) |
           static_cast<std::uint64_t>(worker) << 8;
  }
  static constexpr std::uint64_t with_tag(std::uint64_t state, Tag tag) noexcept {
    return (state & ~std::uint64_t{0xf}) | static_cast<std::uint64_t>(tag);
  }
  static constexpr Tag tag(std::uint64_t state) noexcept { return static_cast<Tag>(state & 0xf); }
  static constexpr unsigned worker(std::uint64_t state) noexcept { return state >> 8 & 0xffff; }
  static constexpr std::uint64_t position(std::uint64_t state) noexcept { return state >> 24; }
  static constexpr bool is_at(std::uint64_t state, std::uint64_t position) noexcept {
    return state >> 24 == (position & kPositionMask);
  }
};

/// What the bytes of a done slot are.
enum class ResultKind : std::uint8_t { value = 0, exception = 1 };

/// One task in shared memory. The state word guards the rest: written by the owner before `ready`, by
/// the claiming worker while `running`, read by the owner after `done`. A tiny task touches the first
/// 64 bytes only.
struct alignas(64) Slot {
  static constexpr std::size_t kInlineBytes = 224;
  static constexpr std::uint8_t kTimed = 1;  ///< flag: the worker must note when it starts

  std::atomic<std::uint64_t> state;
  std::uint64_t entry;          ///< EntryRef
  std::uint64_t block;          ///< offset of the payload in the region, or 0: it is inline
  std::uint64_t size_and_kind;  ///< bytes of the payload << 16 | flags << 8 | ResultKind
  std::byte payload[kInlineBytes];

  std::uint64_t size() const noexcept { return size_and_kind >> 16; }
  std::uint8_t flags() const noexcept { return size_and_kind >> 8 & 0xff; }
  std::uint8_t kind() const noexcept { return size_and_kind & 0xff; }
  void describe(std::uint64_t size, std::uint8_t flag_bits, ResultKind kind) noexcept {
    size_and_kind = size << 16 | std::uint64_t{flag_bits} << 8 | static_cast<std::uint64_t>(kind);
  }
};
static_assert(sizeof(Slot) == 256 && alignof(Slot) == 64 && offsetof(Slot, payload) == 32);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "slots are shared between processes");

}  // namespace retinue::detail
