// One task in the owner's private memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <retinue/detail/processes/process_backend.hpp>
#include <retinue/detail/tasks/task_memory.hpp>
#include <retinue/shared_array.hpp>

#include "memory/region.hpp"
#include "core_ref.hpp"
#include "diagnostics/stack.hpp"
#include "slot.hpp"

namespace retinue::detail {

/// How a task ended.
enum class Ending : std::uint8_t {
  pending,
  value,
  exception,
  died,
  timed_out,
  timed_out_loading,
  cancelled,
  closed,
  overwritten
};

/// Bytes of arguments or of a result, wherever they lie. Owns what it holds.
class Payload {
 public:
  /// A block of the owner's arena; offset 0 is none.
  struct OwnerBlock {
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
  };

  Payload() noexcept : heap_(nullptr) {}
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
  ~Payload() { clear(); }

  std::uint64_t size() const noexcept { return size_; }
  bool empty() const noexcept { return place_ == Place::none; }
  std::span<const std::byte> bytes() const noexcept {
    if (place_ == Place::small) [[likely]]
      return {small_, size_};
    return bytes_elsewhere();
  }
  /// Offset of the owner's block, or 0 if the bytes lie elsewhere.
  std::uint64_t owner_block() const noexcept { return place_ == Place::owner_block ? at_.block : 0; }

  /// Keeps a copy. Throws bad_alloc and then holds what it held.
  void copy(const std::byte* from, std::uint64_t size) {
    if (size > kSmall) [[unlikely]]
      return copy_large(from, size);
    clear();
    size_ = size;
    place_ = Place::small;
    if (size != 0) std::memcpy(small_, from, size);
  }
  /// Takes over a block of the owner's arena.
  void take_owner_block(Region& region, std::uint64_t block, std::uint64_t size) noexcept;
  /// Takes over a worker's result block; throws CodecError if it is not the worker's, and then holds what it held.
  void adopt(Region& region, Arena* arena, std::uint64_t block, std::uint64_t size);
  void clear() noexcept {
    if (place_ > Place::small) [[unlikely]]
      free();
    place_ = Place::none;
    size_ = 0;
  }
  bool lies_in_result_block() const noexcept { return place_ == Place::result_block; }
  /// Gives a worker's result block away; no data if the bytes lie elsewhere, which then stay.
  SharedMemory release_result_block() noexcept;
  /// Forgets without freeing: in a forked child, where it all is the parent's.
  void forget() noexcept { place_ = Place::none; }
  /// The owner's block, if there is one, is the caller's from now on: a worker may still read it.
  OwnerBlock release_owner_block() noexcept;

 private:
  enum class Place : std::uint8_t { none, small, heap, owner_block, result_block };  // from `heap` on: to be freed
  std::span<const std::byte> bytes_elsewhere() const noexcept;
  void copy_large(const std::byte* from, std::uint64_t size);
  void free() noexcept;

  static constexpr std::uint64_t kSmall = 48;

  Place place_ = Place::none;
  std::uint64_t size_ = 0;
  struct InRegion {
    std::uint64_t block;
    Region* region;
    Arena* arena;
  };
  union {
    alignas(16) std::byte small_[kSmall];
    std::byte* heap_;
    InRegion at_;
  };
};

/// How a worker died, for WorkerDied.
struct Death {
  int signal = 0;
  int exit_code = -1;
  pid_t pid = 0;
  StackRecord stack;
  std::string note;  // lines that come before it
};

class TaskState;

/// Ended tasks of one map, linked through themselves, in the order of their ends.
struct FinishedList {
  TaskState* first = nullptr;
  TaskState** last = &first;

  FinishedList() = default;
  FinishedList(const FinishedList&) = delete;
  FinishedList& operator=(const FinishedList&) = delete;
  void append(TaskState& task) noexcept;
  /// Empties the list and gives its first.
  TaskState* take() noexcept {
    last = &first;
    return std::exchange(first, nullptr);
  }
};

/// One task from submit to its last look. `ending` is released once, after which all else is constant
/// but `payload`, whose result readers share. Before that, members belong to the pool's mutex, except
/// `ending` and `position`, which anyone may read. Freed by whoever drops the last reference.
class TaskState final : public EncodedCompletion {
 public:
  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

  TaskState(CoreRef pool, EntryRef run, const ChosenOptions& options, std::uint32_t references)
      : EncodedCompletion(references),
        core(std::move(pool)),
        entry(run.bits),
        retries(options.retries),
        timeout(sensible(options.timeout)) {}

  static void* operator new(std::size_t bytes) { return allocate_task_memory(bytes); }
  static void operator delete(void* memory) noexcept { free_task_memory(memory, sizeof(TaskState)); }

  bool done() noexcept override;
  bool wait(const Deadline& deadline) override;
  bool cancel(bool force) override;
  bool cancelled() noexcept override;
  void on_done(std::function<void()> callback) override;
  bool arm() override;
  void progress() noexcept override;
  const OwnerDoorbell& doorbell() const override;
  bool running() noexcept override;
  std::span<const std::byte> value_bytes() override;
  SharedMemory take_block() override;

  bool ended() const noexcept { return ending.load(std::memory_order_acquire) != Ending::pending; }
  /// The exception of a task that ended without a value.
  std::exception_ptr error() const;
  /// To be used for another task. Only for its sole owner.
  void reset(const ChosenOptions& options) {
    payload.clear();
    death.reset();
    callbacks.clear();
    kept.reset();
    position.store(kNowhere, std::memory_order_relaxed);
    ending.store(Ending::pending, std::memory_order_relaxed);
    wanted_ending = Ending::pending;
    rings = 0;
    taken = false;
    retries = options.retries;
    timeout = sensible(options.timeout);
    finished_list = nullptr;
    next = nullptr;
  }

  const CoreRef core;
  const std::uint64_t entry;
  std::uint64_t index = 0;                        ///< place in its map, or number of its submit
  std::atomic<std::uint64_t> position{kNowhere};  ///< of its slot, or kNowhere before and after
  std::atomic<Ending> ending{Ending::pending};
  Ending wanted_ending = Ending::pending;  ///< set when its worker is being killed for it
  std::uint8_t rings = 0;                  ///< SlotState::kRing... to publish it with
  bool taken = false;                      ///< its result block was given away
  bool owned_by_map =
      false;  ///< a map keeps it alive, and the pool holds no reference: spares two locked counts a task
  std::uint64_t argument_bytes = 0;  ///< for a map's count of what it has under way
  unsigned retries;
  std::chrono::nanoseconds timeout;
  pid_t worker_pid = 0;
  Payload payload;  ///< arguments as long as they may be needed again, then the result
  std::unique_ptr<Death> death;
  std::unique_ptr<KeptMemory> kept;  ///< memory that its arguments name; released at its end
  std::vector<std::function<void()>> callbacks;
  FinishedList* finished_list = nullptr;  ///< where an unordered map wants to find it
  TaskState* next = nullptr;              ///< link in that list, or in that of tasks with callbacks

 private:
  /// A timeout of more than a century is none.
  static constexpr std::chrono::nanoseconds sensible(std::chrono::nanoseconds time) noexcept {
    return time < std::chrono::hours(24 * 36525) ? time : std::chrono::nanoseconds::zero();
  }
  ~TaskState() override;
};

inline void FinishedList::append(TaskState& task) noexcept {
  task.next = nullptr;
  *last = &task;
  last = &task.next;
}

}  // namespace retinue::detail
