// The look-ahead of a map, without the templates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <vector>

#include <retinue/detail/tasks/completion.hpp>

namespace retinue::detail {

struct SharedMemory;

/// Shared memory that several tasks may be given.
using KeptMemory = std::vector<std::shared_ptr<const SharedMemory>>;

/// The tasks of one map that are under way, and the results not yet taken. Used by one thread at a
/// time, but for `nudge`. Its destructor cancels what has not started.
class MapWindow {
 public:
  MapWindow() = default;
  virtual ~MapWindow() = default;
  MapWindow(const MapWindow&) = delete;
  MapWindow& operator=(const MapWindow&) = delete;

  /// How many more inputs should be read now; 0 until a worthwhile batch fits. Throws PoolClosed in a
  /// forked child.
  virtual std::size_t wanted() const = 0;
  /// Room for the next task's arguments. Throws ResourceExhausted or bad_alloc, and then no task is staged.
  virtual std::byte* stage(std::size_t bytes) = 0;
  /// What the last stage() names, kept until its task has ended; `bytes` of it are new.
  virtual void keep_for_last(KeptMemory kept, std::size_t bytes) = 0;
  /// No inputs are to be read until a result was given: there is no memory for them.
  virtual void pause_inputs() noexcept = 0;
  virtual bool is_empty() const noexcept = 0;
  /// How many tasks are staged, under way, or ended and not given yet.
  virtual std::size_t outstanding() const noexcept = 0;
  /// How many that may become; it grows while tasks are short.
  virtual std::size_t look_ahead() const noexcept = 0;
  /// Whether there are no inputs to be read now though more may come: then `next` does not ask for them.
  virtual void inputs_wait(bool wait) noexcept = 0;
  /// With false, results that are taken quickly do not let the look-ahead grow: tasks are becoming longer.
  virtual void tasks_are_steady(bool steady) noexcept = 0;
  /// True if `next` would give a result without waiting, so far as is known.
  virtual bool has_result() = 0;
  /// How many tasks have not ended.
  virtual std::size_t unfinished() = 0;
  /// True if what is under way is so large that no more should be read, whatever `wanted` said.
  virtual bool is_heavy() const noexcept = 0;
  /// Cancels the last stage(), whose arguments could not be written.
  virtual void unstage() noexcept = 0;
  /// Hands what is staged to the pool. Throws PoolClosed.
  virtual void publish() = 0;

  struct Result {
    std::uint64_t index = 0;
    std::span<const std::byte> value;  ///< good until the next call
    std::exception_ptr error;          ///< set instead if the task failed
  };
  enum class Next {
    result,
    starved,  ///< inputs should be read while others run: `wanted()` became more, or `nudge` was called
    over,     ///< nothing is under way
    timed_out,
  };
  /// What `next` would give without waiting, from a short run of results that an earlier `next` has found at once, all
  /// values without a block. Costs next to nothing. False if none of the run is left: ask `next`. Whoever takes results so
  /// reads inputs only between runs, which are short against `look_ahead`.
  bool next_of_run(Result& result) noexcept {
    if (run_at_ == run_end_) return false;
    result.index = run_at_->index;
    result.value = run_at_->value;
    if (result.error) result.error = nullptr;
    ++run_at_;  // what it means for what is outstanding is seen to by who implements this
    return true;
  }
  /// Waits for the next result, until the deadline at the longest; one in the past only looks.
  virtual Next next(Result& result, const Deadline& deadline) = 0;
  /// Has a `next` or `wait_for_nudge` that waits return, or else the next one that would wait. Any thread may call it.
  virtual void nudge() noexcept = 0;
  /// False if the deadline passed first. For when there is nothing under way to wait for.
  virtual bool wait_for_nudge(const Deadline& deadline) = 0;
  /// Takes the block of the result given last, if it has one, so that `value` lives on; see EncodedCompletion::take_block.
  virtual SharedMemory take() noexcept = 0;
  /// No more inputs will come.
  virtual void inputs_ended() noexcept = 0;
  /// Cancels what has not started and waits for the end of what runs. Afterwards only the destructor is called.
  virtual void wait_for_running() noexcept = 0;
  /// The destructor shall also stop what runs then: its workers are killed and replaced.
  virtual void terminate_on_destruction() noexcept = 0;
  /// What tasks that outlive this object need; released in any thread, when they have ended.
  virtual void keep(std::shared_ptr<const void> kept) noexcept = 0;

 protected:
  struct Ended {
    std::uint64_t index;
    std::span<const std::byte> value;
  };
  // The run: what is left of it, in memory of who implements this.
  const Ended* run_at_ = nullptr;
  const Ended* run_end_ = nullptr;
};

}  // namespace retinue::detail
