#include "worker_loop.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fcntl.h>
#include <optional>
#include <sched.h>
#include <stdio_ext.h>
#include <string>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <utility>

#include <retinue/detail/codec/entry.hpp>
#include <retinue/detail/tasks/owner_doorbell.hpp>
#include <retinue/detail/tasks/task_context.hpp>
#include <retinue/error.hpp>

#include "codec/exceptions.hpp"
#include "diagnostics/stack.hpp"
#include "memory/worker_heap.hpp"
#include "system/address_limit.hpp"
#include "system/calls.hpp"
#include "system/file_identity.hpp"
#include "system/fork_watch.hpp"
#include "system/futex.hpp"
#include "system/pause.hpp"
#include "system/process_state.hpp"
#include "spin.hpp"
#include "way_giver.hpp"
#include "worker_failure.hpp"

namespace retinue::detail {
namespace {

std::uint64_t now_ns() noexcept {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

/// One worker's loop. Killed at any instruction it leaves: its slot running (reclaimed), its idler bits
/// (cleared), a ring that was still to come from it (the owner rings all), its arena of the region (retired).
class Worker final : TimeLimits {
 public:
  /// Opens what it needs, before limits hold. Throws Error.
  Worker(const PoolPlan& plan, unsigned index, pid_t parent);

  /// Until it is to leave.
  void run();

 private:
  static constexpr std::uint64_t kFetchAhead = 8;
  static constexpr std::uint64_t kGrantEvery = 10'000'000;  // ns
  static constexpr std::uint64_t kMinLoadingSeconds = 60;   // of CPU time

  bool claim(Slot& slot, std::uint64_t state) noexcept;
  void spread_work() noexcept;
  void run_task(Slot& slot) noexcept;
  void grant_cpu_time() noexcept;
  [[noreturn, gnu::cold, gnu::noinline]] void leave_without_limits() noexcept;
  void begin_limits(const Slot& slot, bool timed) noexcept;
  void loading() noexcept override;
  void loaded() noexcept override;
  void call_entry(TaskContext& context, std::uint64_t entry_bits);
  static void write_exception(TaskContext& context) noexcept;
  void finish(Slot& slot, const TaskContext& context, ResultKind kind) noexcept;
  [[noreturn, gnu::cold, gnu::noinline]] void await_kill() noexcept;
  bool must_retire() noexcept;
  unsigned long private_pages() noexcept;
  [[gnu::cold, gnu::noinline]] void look_for_parent() noexcept;
  bool stay_with_parent() const noexcept;
  void await_ring() noexcept;
  void follow_tail() noexcept;
  void start_over() noexcept;
  bool work_in_sight() const noexcept;
  bool poll() noexcept;
  bool wait_for_work() noexcept;
  void sleep() noexcept;
  void stop_spinning() noexcept;

  const PoolPlan& plan_;
  const PoolMemory& memory_;
  Control& control_;
  WorkerRecord& record_;
  Idlers& idlers_;
  const std::uint64_t bit_;
  const unsigned index_;
  const std::uint64_t generation_;
  const pid_t parent_;    // the fork server
  std::uint32_t server_;  // what its doorbell says as long as it lives
  const bool may_retire_;

  std::uint64_t cursor_;          // no position below is ready, ever again
  std::uint64_t known_tail_ = 0;  // positions below have been published
  std::uint64_t finished_ = 0, rests_ = 0;
  std::uint64_t last_entry_ = ~std::uint64_t{0};
  Entry last_function_ = nullptr;
  bool spinning_ = false;            // our bit is set
  bool fresh_awake_ = true;          // just woken: may have to wake the next
  std::uint64_t granted_ns_ = 0;     // when CPU time was last granted
  TimeLimits* const limits_of_all_;  // this, where CPU time is limited
  bool timed_ = false;               // the task that runs has a limit of time
  bool cpu_time_to_load_ = false;    // granted more than a task may use, and not yet limited again
  int statm_ = -1;  // what says how much memory this process has; open to its end, unless a task closes it
  FileIdentity statm_file_;
  unsigned long inherited_ = 0;  // pages of the owner's: the next worker would have them, too
  SpinBudget spin_;
  WayGiver way_giver_;
};

Worker::Worker(const PoolPlan& plan, unsigned index, pid_t parent)
    : plan_(plan),
      memory_(plan.memory),
      control_(*plan.memory.control),
      record_(plan.memory.worker_records[index]),
      idlers_(control_.idlers[index / 64]),
      bit_(std::uint64_t{1} << index % 64),
      index_(index),
      generation_(fork_generation()),
      parent_(parent),
      server_(control_.server.look()),
      may_retire_(plan.max_tasks != 0 || plan.max_memory != 0),
      cursor_(control_.head.load(std::memory_order_acquire)),
      limits_of_all_(plan.confinement.cpu_seconds != Confinement::kUnlimited ? this : nullptr) {
  if (plan.max_memory == 0) return;
  statm_ = sys::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (statm_ < 0) throw_call_failed("open", errno, "/proc/self/statm");
  statm_file_ = FileIdentity(statm_);
  if (!statm_file_.is_known()) throw_call_failed("fstat", errno, "/proc/self/statm");
  inherited_ = private_pages();
}

bool Worker::claim(Slot& slot, std::uint64_t state) noexcept {
  // `current` is set before the claim, whose full barrier orders it before the look at the next slot in
  // spread_work(): a submitter either sees us busy or we see its task.
  record_.current.store(cursor_ + 1, std::memory_order_release);
  // Model: claim
  if (!slot.state.compare_exchange_strong(state, SlotState::running(state, index_), std::memory_order_seq_cst)) {
    record_.current.store(0, std::memory_order_relaxed);
    return false;
  }
#if !defined(__x86_64__)  // where the claim itself is that fence
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
  ++cursor_;
  return true;
}

// Whoever stops idling and sees more work than its own wakes one more, who does the same.
void Worker::spread_work() noexcept {
  fresh_awake_ = false;
  const std::uint64_t next = memory_.slot(cursor_).state.load(std::memory_order_seq_cst);
  // Model: spread_work
  bool more = SlotState::tag(next) == Tag::ready && SlotState::is_at(next, cursor_);
  // The next slot only makes it quick: others may have taken that task, or the owner passed over the slot.
  if (!more) more = control_.tail.load(std::memory_order_seq_cst) > cursor_;
  if (!more) return;
  stop_spinning();
  if (!nobody_sleeps(memory_) && !somebody_spins(memory_, true)) wake_one(memory_);
}

void Worker::run() {
  for (;;) {
    Slot& slot = memory_.slot(cursor_);
    const std::uint64_t state = slot.state.load(std::memory_order_acquire);
    if (SlotState::tag(state) == Tag::ready && SlotState::is_at(state, cursor_)) {
      if (!claim(slot, state)) continue;
      if (spinning_ || fresh_awake_) spread_work();
      if (cursor_ + kFetchAhead < known_tail_) prefetch_to_write(&memory_.slot(cursor_ + kFetchAhead));
      run_task(slot);
      if (control_.server.look() != server_) look_for_parent();
      if (may_retire_ && must_retire()) {
        // Who publishes while our bit is set counts on us to look. Leaving may take long, so somebody else shall.
        stop_spinning();
        spread_work();
        record_.retiring.store(1, std::memory_order_release);
        plan_.ring_service();  // it looks after a fork server that does not replace us
        return;
      }
    } else if (cursor_ < known_tail_) {  // another worker's, cancelled, or passed over by the owner
      cursor_ = std::max(cursor_ + 1, control_.head.load(std::memory_order_relaxed));
    } else {
      follow_tail();
      if (cursor_ >= known_tail_ && !wait_for_work()) return;
    }
  }
}

void Worker::call_entry(TaskContext& context, std::uint64_t entry_bits) {
  if (entry_bits != last_entry_) {
    const void* code = find_code(plan_.region->modules(), EntryRef{entry_bits});
    last_function_ = reinterpret_cast<Entry>(const_cast<void*>(code));
    last_entry_ = entry_bits;
  }
  struct Call {
    Entry entry;
    TaskContext* context;
  } call{last_function_, &context};
  call_with_throw_site([](void* p) { static_cast<Call*>(p)->entry(*static_cast<Call*>(p)->context); }, &call);
}

void Worker::write_exception(TaskContext& context) noexcept {
  const std::exception_ptr thrown = std::current_exception();
  context.drop_result();
  try {
    const std::string bytes = encode_exception(thrown);
    std::memcpy(context.result(bytes.size()), bytes.data(), bytes.size());
  } catch (...) {  // no shared memory for all of it: what fits the slot
    context.drop_result();
    const std::string bytes = encode_exception_within(TaskContext::kInlineBytes, thrown);
    std::memcpy(context.result(bytes.size()), bytes.data(), bytes.size());
  }
  clear_throw_site();
}

// Not for each of many short tasks: what they would have used by now is less than the limit is exact to.
void Worker::grant_cpu_time() noexcept {
  const std::uint64_t now = now_ns();
  if (!cpu_time_to_load_ && now - granted_ns_ < kGrantEvery) return;
  granted_ns_ = now;
  // Refused: what the worker was granted at its start holds, or what it was granted for loading.
  if (grant_cpu_seconds(plan_.confinement.cpu_seconds)) cpu_time_to_load_ = false;
}

void Worker::begin_limits(const Slot& slot, bool timed) noexcept {
  timed_ = timed;
  if (plan_.confinement.cpu_seconds != Confinement::kUnlimited) grant_cpu_time();
  if (timed) record_.started_ns.store(now_ns() | WorkerRecord::kLoading, std::memory_order_release);
  if (slot.block != 0 || slot.entry != last_entry_) loading();
}

void Worker::loading() noexcept {
  if (plan_.confinement.cpu_seconds >= kMinLoadingSeconds || cpu_time_to_load_) return;  // or there is no limit
  cpu_time_to_load_ = true;
  (void)grant_cpu_seconds(kMinLoadingSeconds);
}

void Worker::loaded() noexcept {
  if (cpu_time_to_load_) {
    grant_cpu_time();
    if (cpu_time_to_load_) leave_without_limits();
  }
  if (timed_) record_.started_ns.store(now_ns() & ~WorkerRecord::kLoading, std::memory_order_release);
}

// No task runs beyond its limit because the system refuses it: the pool ends, and says so.
void Worker::leave_without_limits() noexcept {
  try {
    throw_call_failed("setrlimit", errno, "RLIMIT_CPU, " + std::to_string(plan_.confinement.cpu_seconds));
  } catch (...) {
    report_failure(record_, WorkerRecord::kLimitsRefused);
  }
  plan_.ring_service();
  _exit(kExitInitializerFailed);
}

void Worker::run_task(Slot& slot) noexcept {
  const bool timed = (slot.flags() & Slot::kTimed) != 0;
  TimeLimits* const limits = timed ? this : limits_of_all_;
  if (limits != nullptr) [[unlikely]]
    begin_limits(slot, timed);
  const std::uint64_t block = slot.block, size = slot.size(), reach = plan_.region->reach();
  const bool can_lie_there = block == 0 ? size <= Slot::kInlineBytes : block < reach && size <= reach - block;
  const std::byte* arguments = block != 0 && can_lie_there ? plan_.region->at(block) : slot.payload;
  TaskContext context({arguments, size}, slot.payload, plan_.region->modules(), generation_, limits);
  ResultKind kind = ResultKind::value;
  try {
    if (!can_lie_there)
      throw CodecError("the arguments of a task cannot lie where its slot says: the slot was overwritten");
    call_entry(context, slot.entry);
  } catch (...) {
    if (fork_generation() != generation_) _exit(0);
    kind = ResultKind::exception;
    write_exception(context);
  }
  if (fork_generation() != generation_) _exit(0);  // the task forked and let its child return: not a worker
  if (timed) record_.started_ns.store(0, std::memory_order_release);
  finish(slot, context, kind);
}

void Worker::finish(Slot& slot, const TaskContext& context, ResultKind kind) noexcept {
  slot.describe(context.result_bytes(), 0, kind);
  slot.block = context.result_block();
  const std::uint64_t done = SlotState::with_tag((cursor_ - 1) << 24 | std::uint64_t{index_} << 8, Tag::done);
  std::uint64_t before = slot.state.exchange(done, std::memory_order_acq_rel);  // Model: finish
  if (SlotState::tag(before) != Tag::running && SlotState::tag(before) != Tag::marked_for_kill)
    before = SlotState::kRings;  // overwritten by the task, and with it what was to be rung
  if ((before & SlotState::kRings) != 0) {
    const auto slot_index = static_cast<std::uint64_t>(&slot - memory_.slots);
    // Model: ring_owner
    if ((before & SlotState::kRingOwner) != 0) plan_.owner_doorbell->ring(std::uint32_t{1} << (slot_index & 31));
    if ((before & SlotState::kRingService) != 0) plan_.ring_service();  // Model: ring_service
  }
  if (SlotState::tag(before) == Tag::marked_for_kill) await_kill();
  record_.current.store(0, std::memory_order_relaxed);
  record_.finished.store(++finished_, std::memory_order_relaxed);
}

// The owner is having this process killed, which may take as long as the fork server is stopped. Who publishes while
// our bit is set counts on us to look. Whoever marks a task for kill sets `kill_wanted` right after. Where nobody did,
// the word was overwritten, and this worker leaves by itself.
void Worker::await_kill() noexcept {
  stop_spinning();
  spread_work();
  for (int naps = 0; naps < 100 || record_.kill_wanted.load(std::memory_order_acquire) == kKillWanted; ++naps) {
    stay_with_parent();
    const timespec nap{0, 10'000'000};
    ::nanosleep(&nap, nullptr);
  }
  record_.retiring.store(1, std::memory_order_release);
  plan_.ring_service();
  _exit(kExitRetired);
}

bool Worker::must_retire() noexcept {
  if (plan_.max_tasks != 0 && finished_ >= plan_.max_tasks) return true;
  if (plan_.max_memory == 0) return false;
  const unsigned long pages = private_pages();
  return (pages - std::min(inherited_, pages)) * static_cast<unsigned long>(sysconf(_SC_PAGESIZE)) > plan_.max_memory;
}

// What is resident less what is shared with files and the region. 0 if the kernel does not say.
unsigned long Worker::private_pages() noexcept {
  if (!statm_file_.is(statm_)) {  // a task has closed it
    statm_ = sys::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    statm_file_ = FileIdentity(statm_);
  }
  char text[128] = {};
  if (sys::pread(statm_, text, sizeof text - 1, 0) <= 0) return 0;
  unsigned long total = 0, resident = 0, shared = 0;
  if (std::sscanf(text, "%lu %lu %lu", &total, &resident, &shared) != 3) return 0;
  return resident - std::min(shared, resident);
}

// No task lies further behind `tail` than there are slots. So the way there is short, whatever `head` said and whatever
// was written over `tail`.
void Worker::follow_tail() noexcept {
  const std::uint64_t slots = memory_.slot_mask + 1;
  known_tail_ = control_.tail.load(std::memory_order_acquire);
  if (known_tail_ > cursor_ + slots) [[unlikely]]
    cursor_ = known_tail_ - slots;
}

// Before it sleeps: one that is beyond `tail` was led astray by a `tail` or `head` that was overwritten, or claimed tasks
// before all of them were shown. It goes back to where the oldest task may be.
void Worker::start_over() noexcept {  // Model: start_over
  const std::uint64_t tail = control_.tail.load(std::memory_order_acquire);
  if (cursor_ <= tail) return;
  const std::uint64_t slots = memory_.slot_mask + 1;
  cursor_ = tail > slots ? tail - slots : 0;
  const std::uint64_t head = control_.head.load(std::memory_order_relaxed);
  if (head <= tail) cursor_ = std::max(cursor_, head);
}

bool Worker::work_in_sight() const noexcept {
  const std::uint64_t state = memory_.slot(cursor_).state.load(std::memory_order_acquire);
  return (SlotState::tag(state) == Tag::ready && SlotState::is_at(state, cursor_)) ||
         control_.tail.load(std::memory_order_seq_cst) > cursor_ ||
         control_.closing.load(std::memory_order_seq_cst) == kClosing;
}

void Worker::stop_spinning() noexcept {
  if (!spinning_) return;
  spinning_ = false;
  idlers_.spinning.fetch_and(~bit_, std::memory_order_seq_cst);  // Model: stop_spinning
}

// Polls for work for as long as it pays. True if there is some.
bool Worker::poll() noexcept {
  if (plan_.longest_spin.count() <= 0) return false;
  bool crowded = memory_.workers >= plan_.cpus;
  if (!spinning_) {
    unsigned spinners = 0;
    for (unsigned word = 0; word < memory_.idler_words(); ++word)
      spinners +=
          static_cast<unsigned>(__builtin_popcountll(control_.idlers[word].spinning.load(std::memory_order_relaxed)));
    if (spinners < std::max(1u, plan_.cpus - 1)) {
      idlers_.spinning.fetch_or(bit_, std::memory_order_seq_cst);  // Model: poll
      spinning_ = true;
    } else {
      crowded = true;  // the others answer faster; staying awake a little spares those who publish a wake-up
    }
  }
  const Slot& slot = memory_.slot(cursor_);
  return spin_.until(
      plan_.longest_spin, crowded,
      [&](unsigned look) {
        const std::uint64_t state = slot.state.load(std::memory_order_acquire);
        if (SlotState::tag(state) == Tag::ready && SlotState::is_at(state, cursor_)) return true;
        return look % 8 == 7 && work_in_sight();
      },
      [&] { return !way_giver_.should_sleep(control_.waiter_cpu.load(std::memory_order_relaxed)); });
}

void Worker::await_ring() noexcept {
  const auto idle_end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  worker_heap()->return_recalled();
  bool warm = worker_heap()->has_warm_memory();
  for (;;) {
    std::optional<std::chrono::steady_clock::time_point> until;
    if (warm) until = idle_end;
    if (!stay_with_parent())
      until = std::min(until.value_or(idle_end), std::chrono::steady_clock::now() + std::chrono::seconds(1));
    if (futex_wait(record_.doorbell, 0, ~std::uint32_t{0}, until)) return;
    if (!warm || std::chrono::steady_clock::now() < idle_end) continue;
    worker_heap()->trim();
    warm = false;
  }
}

// A task may have cleared the signal by which this process dies with the fork server: a change of user does. To be called
// before each sleep. False if it may happen again while this thread sleeps: other threads may change the user of all of them.
bool Worker::stay_with_parent() const noexcept {
  const bool dies = sys::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
  if (getppid() != parent_) _exit(0);
  return dies && is_only_thread();
}

// The fork server's doorbell has changed: it has ended, or is about to, or a task has scribbled over the doorbell.
void Worker::look_for_parent() noexcept {
  if (getppid() != parent_) _exit(0);
  if (!control_.server.holder_ended()) server_ = control_.server.look();
}

void Worker::sleep() noexcept {
  fresh_awake_ = true;
  start_over();
  record_.rests.store(++rests_, std::memory_order_relaxed);
  record_.doorbell.store(0, std::memory_order_relaxed);
  idlers_.asleep.fetch_or(bit_, std::memory_order_seq_cst);                                 // Model: sleep
  spinning_ = spinning_ || (idlers_.spinning.load(std::memory_order_relaxed) & bit_) != 0;  // set by a stray write
  stop_spinning();
  if (!work_in_sight()) {  // after the bit is set: whoever publishes from now on sees it
    await_ring();
  }
  idlers_.asleep.fetch_and(~bit_, std::memory_order_seq_cst);
}

// False when the pool is closing and no task is left.
bool Worker::wait_for_work() noexcept {
  // Beyond `tail` it may have been led astray.
  if (control_.head.load(std::memory_order_relaxed) < cursor_ && cursor_ <= known_tail_)
    control_.head.store(cursor_, std::memory_order_relaxed);
  if (!poll()) {
    if (__fpending(stdout) != 0) std::fflush(stdout);
    call(plan_.hooks->before_sleep);
    sleep();
    call(plan_.hooks->after_sleep);
    spin_.slept();
  }
  follow_tail();
  return cursor_ < known_tail_ || control_.closing.load(std::memory_order_seq_cst) != kClosing;  // Model: leave
}

}  // namespace

void run_tasks(const PoolPlan& plan, unsigned index, pid_t parent, const std::function<bool()>& make_ready) {
  Worker worker(plan, index, parent);
  if (make_ready()) worker.run();
}

}  // namespace retinue::detail
