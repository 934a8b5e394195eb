// What an entry sees of the task it runs, in a worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <retinue/detail/codec/room.hpp>

namespace retinue::detail {

struct ModuleTable;
struct SharedMemory;

/// Who counts a task's time; in the worker.
class TimeLimits {
 public:
  /// What comes before the function is called may now take CPU time.
  virtual void loading() noexcept = 0;
  /// From now on it is the function's time.
  virtual void loaded() noexcept = 0;

 protected:
  ~TimeLimits() = default;
};

/// One run of a task in a worker: where its arguments are and where its result goes. Arguments lie in
/// the slot or in a block, and are gone once `result` was called: have the value ready by then.
class TaskContext {
 public:
  /// `generation` is the worker's fork_generation(); `limits` is null for a task without limits of time.
  TaskContext(std::span<const std::byte> arguments, std::byte* slot_payload, const ModuleTable* modules,
              std::uint64_t generation, TimeLimits* limits = nullptr) noexcept
      : arguments_(arguments),
        slot_payload_(slot_payload),
        modules_(modules),
        limits_(limits),
        generation_(generation) {}

  /// One run in a thread of the process that submitted the task: large results go to `block`, which must be empty.
  TaskContext(std::span<const std::byte> arguments, std::byte* small, SharedMemory& block,
              std::uint64_t generation) noexcept
      : TaskContext(arguments, small, nullptr, generation) {
    own_block_ = &block;
  }

  std::span<const std::byte> arguments() const noexcept { return arguments_; }
  /// What names the modules of function pointers among the arguments.
  const ModuleTable* modules() const noexcept { return modules_; }

  /// To be called before what may take CPU time though it is not the function, in a small payload: imports.
  void loading() noexcept {
    if (limits_ != nullptr) [[unlikely]]
      limits_->loading();
  }
  /// To be called when function and arguments are there and the call is next: the task's limits of time count from here.
  void loaded() noexcept {
    if (limits_ != nullptr) [[unlikely]]
      limits_->loaded();
  }

  /// Room for a result of `bytes`, aligned to 32. To be called once, or not at all for no bytes.
  /// Throws ResourceExhausted or bad_alloc; the task then fails with that. Ends a process that the task
  /// forked and let return: the slot is not its.
  std::byte* result(std::size_t bytes);

  /// The same, where the memory of a large result may still have to be made while it is written.
  Room result_room(std::size_t bytes) {
    if (bytes >= kMayBeCold) [[unlikely]]
      return large_result_room(bytes);
    std::byte* const room = result(bytes);
    return {room, room + bytes, nullptr};
  }

  /// Makes this memory the result. False if it is none of this worker's, which must be copied to `result`; else the
  /// caller no longer owns it.
  bool give(const SharedMemory& memory, std::size_t bytes) noexcept;

  std::size_t result_bytes() const noexcept { return result_bytes_; }
  /// Offset of the result's block in the region, or 0 if it is inline.
  std::uint64_t result_block() const noexcept { return result_block_; }
  /// Forgets a result begun, so that an exception can take its place.
  void drop_result() noexcept;

  static constexpr std::size_t kInlineBytes = 224;
  /// Results from here on may have memory that is made while they are written.
  static constexpr std::size_t kMayBeCold = std::size_t{512} << 10;

 private:
  [[gnu::cold]] Room large_result_room(std::size_t bytes);
  [[gnu::cold]] std::byte* result_in_own_block(std::size_t bytes);

  std::span<const std::byte> arguments_;
  std::byte* slot_payload_;
  const ModuleTable* modules_;
  TimeLimits* limits_;
  std::uint64_t generation_;
  std::size_t result_bytes_ = 0;
  std::uint64_t result_block_ = 0;
  SharedMemory* own_block_ = nullptr;  // where a task that runs in its owner's process puts a large result
};

/// An entry: the function a slot names.
using Entry = void (*)(TaskContext&);

}  // namespace retinue::detail
