// What the processes of one pool share beside its slots.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "memory/region.hpp"
#include "system/doorbell.hpp"
#include "system/liveness_doorbell.hpp"
#include "diagnostics/stack.hpp"
#include "slot.hpp"

namespace retinue::detail {

constexpr unsigned kMaxWorkers = 1024;

/// The life of a worker as its record shows it, in the order it runs. The owner asks for a spawn, the fork server
/// answers, and after the end the owner clears the record (or asks again). The values are such as a stray write
/// hardly hits, so that one is seen for what it is: the fork server writes `alive` again, the owner the rest.
enum class Life : std::uint32_t {
  empty = 0,                  ///< nobody here
  spawn_wanted = 0x5ba3f0c1,  ///< owner -> fork server
  alive = 0xa17ec4d2,         ///< fork server: forked, `pid` is set
  spawn_failed = 0xfa11b6e3,  ///< fork server: fork failed, `status` is the errno
  ended = 0xe0ded5f4,         ///< fork server: reaped, `status` is what waitpid said
};

/// What asks a worker, or all, to end; any other value of these words is none that was written on purpose.
constexpr std::uint32_t kKillWanted = 0x6b111ed5, kClosing = 0xc105ed16;

/// One worker's record. Each group of members has one writer; each stands on cache lines of its own.
struct alignas(64) WorkerRecord {
  static constexpr std::uint32_t kTakesTasks = 1, kInitializerThrew = 2, kCouldNotBegin = 3, kLimitsRefused = 4;
  static constexpr std::uint64_t kLoading = 1;

  // Written by the worker. `current` is the position of its task + 1, or 0 between tasks.
  std::atomic<std::uint64_t> current;
  /// CLOCK_MONOTONIC at the start of a timed task, or of what it loads: then with kLoading, its lowest bit.
  std::atomic<std::uint64_t> started_ns;
  std::atomic<std::uint64_t> finished;  ///< tasks since the worker's start
  std::atomic<std::uint32_t> ready;     ///< 0, or one of those above
  std::atomic<std::uint32_t> retiring;  ///< 1: leaves by its own will (max_tasks_per_worker ...)
  std::atomic<std::uint64_t> failure;   ///< block with the exception that ended it, in its own arena
  std::atomic<std::uint64_t> failure_size;
  std::atomic<std::uint64_t> rests;  ///< how often it ran out of work

  // Its doorbell: 1 when rung. Written by ringers, cleared by the worker.
  alignas(64) std::atomic<std::uint32_t> doorbell;

  // Written by the owner (life: see Life) ...
  alignas(64) std::atomic<Life> life;
  std::atomic<std::uint32_t> kill_wanted;    ///< owner -> fork server: SIGKILL it (kKillWanted)
  std::uint64_t arena_offset, arena_length;  ///< its arena of the region, set before spawn_wanted
  // ... and by the fork server.
  std::atomic<std::int32_t> pid;
  std::atomic<std::int32_t> status;
  std::uint64_t arena_check;  ///< by the owner: shows a worker that the two above are what was written

  alignas(64) ReturnStack returned;

  // Written by the dying worker.
  std::atomic<int> crash_signal;
  StackRecord crash_stack;
  CrashNote crash_note;
};

static_assert(offsetof(WorkerRecord, rests) == 48 && offsetof(WorkerRecord, doorbell) == 64 &&
              offsetof(WorkerRecord, life) == 128 && offsetof(WorkerRecord, arena_check) == 160 &&
              offsetof(WorkerRecord, returned) == 192 && offsetof(WorkerRecord, crash_stack) == 208 &&
              offsetof(WorkerRecord, crash_note) == 600 && sizeof(WorkerRecord) == 1664);

/// Who is spinning and who is asleep, a bit a worker. Set and cleared by each worker itself; a ringer
/// clears the bit of the sleeper it wakes. The bits of a dead worker are cleared by the owner.
struct Idlers {
  std::atomic<std::uint64_t> spinning;
  std::atomic<std::uint64_t> asleep;
};

/// | member           | written by                  | read by         | after a crash                                     |
/// | ---------------- | --------------------------- | --------------- | ------------------------------------------------- |
/// | tail             | owner (pool's mutex)        | workers         | -                                                 |
/// | head             | workers                     | workers         | any value a worker stored is a right one:         |
/// |                  |                             |                 | no position below it is ready, ever again         |
/// | waiter_cpu       | threads of the owner        | workers         | -                                                 |
/// | idlers           | workers, ringers            | owner, workers  | owner clears the dead worker's bits and rings     |
/// |                  |                             |                 | all, for the dead may have had a doorbell to ring |
/// | closing          | owner                       | workers, server | -                                                 |
/// | server           | fork server, kernel         | workers         | the kernel writes that its holder has ended       |
/// | service_doorbell | workers, fork server, owner | service thread  | owner rings for every death                       |
/// | server_doorbell  | owner, kernel, fork server  | fork server     | the kernel rings if the owner ends                |
/// | worker records   | see WorkerRecord            |                 | owner clears the record                           |
///
/// What a stray write changed, the owner or the fork server, who have it in their own memory, write again (inspection.cpp).
struct Control {
  alignas(64) std::atomic<std::uint64_t> tail;
  std::atomic<std::uint32_t> waiter_cpu;  ///< CPU + 1 of a thread of the owner that polls, or 0
  alignas(64) std::atomic<std::uint64_t> head;
  alignas(64) std::atomic<std::uint32_t> closing;
  LivenessDoorbell server;  ///< held by the fork server, rung by nobody: workers look at it
  alignas(64) Idlers idlers[kMaxWorkers / 64];
  alignas(64) Doorbell service_doorbell;
  alignas(64) LivenessDoorbell server_doorbell;  ///< held by a thread of the owner's (EndWatch)
};
static_assert(sizeof(Idlers) == 16 && offsetof(Control, server) == 132 && offsetof(Control, idlers) == 192 &&
              offsetof(Control, service_doorbell) == 448 && offsetof(Control, server_doorbell) == 512 &&
              sizeof(Control) == 576);

/// The shared memory of one pool, as every process of it sees it. Plain pointers: the region lies at the
/// same address in all of them. Copied into the fork server and the workers by the fork.
struct PoolMemory {
  Control* control = nullptr;
  WorkerRecord* worker_records = nullptr;
  Slot* slots = nullptr;
  unsigned workers = 0;
  std::uint64_t slot_mask = 0;

  static std::uint64_t bytes_needed(unsigned workers, std::uint64_t slots) noexcept {
    return sizeof(Control) + workers * sizeof(WorkerRecord) + slots * sizeof(Slot);
  }
  /// Lays the structures into zeroed memory.
  static PoolMemory lay_out(std::byte* memory, unsigned workers, std::uint64_t slots) noexcept;

  /// Structures laid out already, by the owner.
  static PoolMemory at(std::byte* memory, unsigned workers, std::uint64_t slots) noexcept;

  Slot& slot(std::uint64_t position) const noexcept { return slots[position & slot_mask]; }
  unsigned idler_words() const noexcept { return (workers + 63) / 64; }
};

/// Wakes worker `index` if it is asleep or about to be.
void ring_worker(const PoolMemory& memory, unsigned index) noexcept;
/// To be asked after work was published, with a sequentially consistent fence between: then a worker that
/// is just going to sleep either is seen here or sees the work.
bool nobody_sleeps(const PoolMemory& memory) noexcept;
/// Wakes one sleeping worker, if there is one.
void wake_one(const PoolMemory& memory) noexcept;
/// Wakes all.
void ring_all_workers(const PoolMemory& memory) noexcept;
/// True if a worker other than those busy is spinning for work and will see it.
bool somebody_spins(const PoolMemory& memory, bool look_closely) noexcept;

}  // namespace retinue::detail
