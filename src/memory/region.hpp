// The shared memory of an owner and its processes: blocks of the owner, arenas of its workers.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "system/doorbell.hpp"
#include "address_space.hpp"
#include "block_heap.hpp"
#include "region_mapping.hpp"
#include "warm_share.hpp"

namespace retinue::detail {

/// What is read from there was written by the other side if it agrees with its check; a stray write does not make that up.
constexpr std::uint64_t check_of(std::uint64_t a, std::uint64_t b, std::uint64_t c = 0) noexcept {
  std::uint64_t x = a * 0x9e3779b97f4a7c15u + b;
  x = (x ^ x >> 32) * 0xbf58476d1ce4e5b9u + c;
  return (x ^ x >> 29) * 0x94d049bb133111ebu + 0x5eed;
}

/// Blocks on their way back to the worker that allocated them: a stack in shared memory, linked through
/// the blocks themselves. The owner pushes, the worker takes all at once, so that no push can be fooled
/// by a block that went and came back. If the worker dies the stack is forgotten with its arena.
struct ReturnStack {
  std::atomic<std::uint64_t> top{0};  // offset of the block returned last, or 0
};

/// A worker's arena of the region, as the owner sees it. It outlives its worker until the last block in
/// the owner's hands is released. All members are guarded by the region's mutex.
class Arena {
 public:
  const Extent& extent() const noexcept { return extent_; }

 private:
  friend class Region;
  Extent extent_;
  ReturnStack* home_ = nullptr;                  // null once the worker has died
  std::map<std::uint64_t, std::uint64_t> live_;  // blocks in the owner's hands: offset -> bytes
};

/// | member                        | who may change it          | guarded by         |
/// | ----------------------------- | -------------------------- | ------------------ |
/// | memfd, base, reach, head      | RegionMapping              | see there          |
/// | addresses, arenas             | threads of the owner       | `mutex_`           |
/// | the owner's block heap        | threads of the owner       | `mutex_`           |
/// | memory of an arena            | its worker, else the owner | life of the worker |
/// | trim subscribers, idle period | threads of the owner       | `mutex_`           |
///
/// One region a process, made on first use and kept to the process's end; a forked worker that becomes
/// an owner itself makes another. Thread-safe. A process killed at any point leaves nothing: the file
/// has no name, and goes with the last process that maps it. A worker's death is reported by `retire`.
class Region : public RegionMapping {
 public:
  /// The calling process's own region. Throws ResourceExhausted when it cannot be made.
  static Region& of_this_process();
  /// The region of another process, in a program started anew by it: the same file at the same address, for `at`,
  /// `memfd` and `modules`. Throws ResourceExhausted if something else lies there.
  static Region& attach(int memfd, std::uintptr_t base, std::uint64_t reach);

  /// Bytes of addresses of this process that are regions, its own and inherited ones. For a process with one thread.
  static std::uint64_t reserved_addresses() noexcept;

  /// Zeroed shared memory of the owner's own, page-aligned, such as a pool's slots.
  Extent allocate_control(std::uint64_t bytes);
  void free_control(Extent extent) noexcept;

  /// A block in the owner's arena.
  std::uint64_t allocate(std::uint64_t bytes);
  void free(std::uint64_t offset, std::uint64_t bytes) noexcept;
  /// See BlockHeap.
  std::uint64_t allocate_for_writing(std::uint64_t bytes, ColdBlock& cold);
  void abandon(std::uint64_t offset, std::uint64_t bytes) noexcept;

  /// Addresses for the results of a worker to come; `workers` says how many must share the region.
  Arena* make_arena(ReturnStack* home, unsigned workers);
  /// The worker of `arena` is dead: its memory goes, but for blocks in the owner's hands.
  void retire(Arena* arena) noexcept;
  /// A finished task's result block passes into the owner's hands. Throws CodecError if the worker named
  /// memory that is not its own.
  void adopt(Arena* arena, std::uint64_t offset, std::uint64_t bytes);
  /// The owner is done with an adopted block: back to its worker, or to the system.
  void release(Arena* arena, std::uint64_t offset, std::uint64_t bytes) noexcept;

  /// Returns warm memory to the system; workers do so, too, as soon as they look.
  void trim() noexcept;

  /// A pool's service thread looks after memory that nobody uses: `doorbell` rings when there is some, and from then on
  /// the thread calls `trim_when_idle` until that asks for no other time. Without any subscriber, warm memory is
  /// returned to the system at once, from a megabyte on.
  void add_trim_subscriber(Doorbell& doorbell);
  void remove_trim_subscriber(Doorbell& doorbell) noexcept;
  struct TrimSchedule {
    std::optional<std::chrono::steady_clock::time_point>
        again;                       ///< when to call it next, unless a doorbell rings before
    std::uint64_t idle_periods = 0;  ///< how often it has been idle for long: workers may then hold what came back late
    std::uint64_t recalls = 0;       ///< how often workers were to return all they keep
  };
  /// Once no block was taken or freed for two seconds, returns to the system what is beyond the share that may be kept; all
  /// of it, idle or not, when memory has become short. To that end it is called every two seconds while anything is kept.
  TrimSchedule trim_when_idle() noexcept;
  /// How many bytes of warm memory owner and workers may keep together while they are idle; nullopt: a sixteenth of what
  /// the machine has left, or nothing where there is a limit on shared memory.
  void set_kept(std::optional<std::uint64_t> bytes) noexcept;

  struct Usage {
    std::uint64_t owner_bytes = 0;   ///< blocks of the owner in use
    std::uint64_t result_bytes = 0;  ///< results of workers in the owner's hands
    std::uint64_t warm_bytes = 0;    ///< reserved, kept for the next block
    std::uint64_t blocks = 0;
    std::uint64_t peak_bytes = 0;  ///< the most that owner_bytes and result_bytes have been together
  };
  Usage usage() const;

 private:
  Region();
  Region(int memfd, std::uintptr_t base, std::uint64_t reach);
  ~Region();
  Extent allocate_addresses(std::uint64_t bytes);
  void free_addresses(Extent extent) noexcept;
  bool drop_pages(Extent extent) noexcept;
  void finish_arena_if_empty(Arena* arena) noexcept;

  Region* older_ = nullptr;  // that of the process this one was forked from

  mutable std::mutex mutex_;
  AddressSpace addresses_;
  std::unique_ptr<BlockHeap> heap_;
  std::set<Arena*> arenas_;
  std::uint64_t owner_blocks_ = 0;
  std::uint64_t result_bytes_ = 0;
  std::uint64_t result_blocks_ = 0;
  std::uint64_t peak_ = 0;
  bool unclean_ = false;  // addresses were freed with what was in their pages

  std::vector<Doorbell*> trim_subscribers_;
  bool trim_requested_ = false;     // the subscribers know that there is something to return
  std::uint64_t uses_ = 0;          // blocks taken and freed so far
  std::uint64_t uses_at_rest_ = 0;  // ... by the idle period for which workers were woken last
  IdlePeriods idle_;
  std::uint64_t idle_periods_ = 0;
  WarmShare warm_share_;
  bool workers_may_keep_ = false;  // results have gone back to them since they were last to return all

  void note_peak() noexcept;
  void notify_trim_subscribers() noexcept;
  void recall(std::uint64_t keep) noexcept;
  void trim_to(std::uint64_t keep) noexcept;
  TrimSchedule trim_schedule(std::optional<std::chrono::steady_clock::time_point> again) const noexcept;
};

}  // namespace retinue::detail
