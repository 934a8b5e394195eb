#include "thread_core.hpp"

#include <cerrno>
#include <system_error>

#include <retinue/cpu_count.hpp>

#include "system/fork_watch.hpp"
#include "system/futex.hpp"
#include "system/thread_start.hpp"

namespace retinue::detail {
namespace {

constexpr std::uint32_t kAnyBit = ~std::uint32_t{0};
constexpr std::uint32_t kBatch = 32;  // tasks that a thread takes from a queue at once, at most

}  // namespace

ThreadCore::ThreadCore(const ThreadPoolOptions& options)
    : workers_(options.workers != 0 ? options.workers : cpu_count()),
      capacity_(workers_ + kMaxSpares),
      name_(options.name.substr(0, 15)),
      generation_(fork_generation()),
      timer_(*this),
      all_(std::make_unique<std::unique_ptr<ThreadWorker>[]>(capacity_)),
      census_(workers_ * Census::kIdle),
      open_places_(workers_),
      initialization_{options.initializer, 0, nullptr, {}} {
  sleepers_.reserve(capacity_);
  spares_.reserve(capacity_);
  threads_.reserve(capacity_);
}

ThreadCore::~ThreadCore() {
  order_after(this);
  cancel_queued();
}

bool ThreadCore::made_elsewhere() const noexcept { return generation_ != fork_generation(); }

void enqueue(ThreadCore& core, ThreadTask* task) {
  if (core.made_elsewhere()) {
    if (is_of_another_copy(core.generation_)) throw Error(kTwoCopies);
    throw PoolClosed("this ThreadPool was made in the parent process; its threads do not exist here, make a new one");
  }
  ThreadWorker* const worker = ThreadWorker::of_this_thread();
  order_before(task);
  bool taken = false;
  if (worker != nullptr && &worker->core() == &core) {
    taken = worker->queue_.push(task, [&core] { return !core.refusing_.load(std::memory_order_relaxed); });
  } else {
    if (core.created_.load(std::memory_order_acquire) == 0 && !core.closed()) core.start_first_thread();
    taken = core.intake_.push(task, [&core] { return !core.closed(); });
  }
  if (!taken) throw PoolClosed("this ThreadPool was shut down and takes no more tasks");
  core.wake_if_needed();
}

bool ThreadCore::any_work() const noexcept {
  if (intake_.count() > 0) return true;
  const unsigned created = created_.load(std::memory_order_seq_cst);
  for (unsigned i = 0; i < created; ++i) {
    if (all_[i]->queue_.count() > 0) return true;
  }
  return false;
}

// A thread with more than it can do at once leaves the rest to others, who may just have gone to sleep.
ThreadTask* ThreadCore::take_batch(ThreadWorker& worker) noexcept {
  ThreadTask* const task = intake_.pop_batch(worker.queue_, 2 * workers_, kBatch);
  if (task != nullptr && !worker.searching_ && worker.queue_.roughly() > 0) wake_if_needed();
  return task;
}

ThreadTask* ThreadCore::steal(ThreadWorker& worker) noexcept {
  const unsigned created = created_.load(std::memory_order_acquire);
  for (unsigned i = 1; i < created; ++i) {
    ThreadWorker& victim = *all_[(worker.index_ + i) % created];
    ThreadTask* const task = victim.queue_.pop_batch(worker.queue_, 2, kBatch);
    if (task == nullptr) continue;
    if (!worker.searching_ && worker.queue_.roughly() > 0) wake_if_needed();
    return task;
  }
  return nullptr;
}

void ThreadCore::run_timed(ThreadTask& task, ThreadWorker* worker) noexcept {
  ThreadTimer::Deadlines::iterator watched;
  try {
    watched = timer_.watch(task, worker);
  } catch (...) {
    return task.fail(std::current_exception());
  }
  const ThreadTask::Phase phase = task.run();
  std::uintptr_t state = 0;
  if (task.end_quietly(phase, state)) {
    timer_.forget(watched);
    task.notify(state);
  } else {
    task.drop_outcome(phase);
    timer_.settle();
    no_longer_overdue(*worker);
  }
}

ThreadPoolStats ThreadCore::stats() const noexcept {
  ThreadPoolStats stats;
  stats.workers = workers_;
  stats.threads = created_.load(std::memory_order_acquire);
  stats.queued = intake_.roughly();
  for (unsigned i = 0; i < stats.threads; ++i) {
    stats.finished += all_[i]->finished_.load(std::memory_order_relaxed);
    stats.cancelled += all_[i]->cancelled_.load(std::memory_order_relaxed);
    stats.queued += all_[i]->queue_.roughly();
  }
  return stats;
}

// ---- threads ----

// The caller has counted the new thread as a searcher and taken a place for it. Throws std::system_error.
void ThreadCore::start_thread() {
  const std::lock_guard guard(threads_mutex_);
  if (ending_.load(std::memory_order_relaxed)) throw std::system_error(ECANCELED, std::generic_category());
  const unsigned index = created_.load(std::memory_order_relaxed);
  if (index == capacity_) throw std::system_error(EAGAIN, std::generic_category());
  if (!all_[index]) all_[index] = std::make_unique<ThreadWorker>(*this, index);
  ThreadWorker& worker = *all_[index];
  created_.store(index + 1, std::memory_order_seq_cst);
  try {
    std::thread thread = new_thread([self = shared_from_this(), &worker] { self->life_of(worker); });
    if (detached_) {
      thread.detach();
    } else {
      threads_.emplace_back(&worker, std::move(thread));
    }
  } catch (...) {
    created_.store(index, std::memory_order_seq_cst);  // the worker stays for the next attempt: thieves may look
    throw;
  }
}

void ThreadCore::start_first_thread() {
  lock_.lock();
  const bool mine = created_.load(std::memory_order_relaxed) == 0 && open_places_ > 0;
  if (mine) {
    --open_places_;
    census_.fetch_add(Census::kSearching - Census::kIdle, std::memory_order_seq_cst);
  }
  lock_.unlock();
  if (!mine) return;
  try {
    start_thread();
  } catch (const std::exception& e) {
    const auto* const refused = dynamic_cast<const std::system_error*>(&e);
    const int error = refused != nullptr ? refused->code().value() : ENOMEM;
    lock_.lock();
    ++open_places_;
    census_.fetch_add(Census::kIdle - Census::kSearching, std::memory_order_seq_cst);
    lock_.unlock();
    if (closed()) return;
    throw ResourceExhausted("a ThreadPool could not start its first thread", error);
  }
}

void ThreadCore::withhold_place() noexcept {
  lock_.lock();
  if (const unsigned surplus = surplus_.load(std::memory_order_relaxed); surplus > 0) {
    surplus_.store(surplus - 1, std::memory_order_relaxed);
  } else {
    ++withheld_places_;
  }
  census_.fetch_sub(Census::kSearching, std::memory_order_seq_cst);
  note_drained_locked();
  lock_.unlock();
}

void ThreadCore::wake_one() noexcept {
  lock_.lock();
  const std::uint64_t census = census_.load(std::memory_order_seq_cst);
  if (Census::idle(census) == 0 || Census::searching(census) > 0) return lock_.unlock();
  census_.fetch_add(Census::kSearching - Census::kIdle, std::memory_order_seq_cst);
  ThreadWorker* woken = nullptr;
  if (!sleepers_.empty()) {
    woken = sleepers_.back();
    sleepers_.pop_back();
  } else {
    --open_places_;
    if (!spares_.empty()) {
      woken = spares_.back();
      spares_.pop_back();
    }
  }
  lock_.unlock();
  if (woken != nullptr) {
    woken->woken_.store(1, std::memory_order_release);
    return futex_wake(woken->woken_, kAnyBit, 1);
  }
  try {
    start_thread();
  } catch (...) {  // the work goes slower: the threads there are will do it
    withhold_place();
  }
}

void ThreadCore::end_search() noexcept {
  const std::uint64_t before = census_.fetch_sub(Census::kSearching, std::memory_order_seq_cst);
  if (Census::searching(before) == 1 && Census::idle(before) > 0 && any_work()) wake_one();
}

bool ThreadCore::sleep(ThreadWorker& worker) noexcept {
  lock_.lock();
  if (ending_.load(std::memory_order_relaxed)) {
    lock_.unlock();
    return false;
  }
  census_.fetch_add(Census::kIdle - (worker.searching_ ? Census::kSearching : 0), std::memory_order_seq_cst);
  worker.searching_ = true;  // as which it will be woken
  if (any_work()) {
    census_.fetch_add(Census::kSearching - Census::kIdle, std::memory_order_seq_cst);
    lock_.unlock();
    return true;
  }
  sleepers_.push_back(&worker);
  worker.woken_.store(0, std::memory_order_relaxed);
  note_drained_locked();
  lock_.unlock();
  worker.sleep_until_woken();
  return !ending_.load(std::memory_order_relaxed);
}

// ---- places ----

bool ThreadCore::rest_if_surplus(ThreadWorker& worker) noexcept {
  lock_.lock();
  const unsigned surplus = surplus_.load(std::memory_order_relaxed);
  if (surplus == 0 || ending_.load(std::memory_order_relaxed)) {
    lock_.unlock();
    return true;
  }
  surplus_.store(surplus - 1, std::memory_order_relaxed);
  if (worker.searching_) census_.fetch_sub(Census::kSearching, std::memory_order_seq_cst);
  worker.searching_ = true;
  spares_.push_back(&worker);
  worker.woken_.store(0, std::memory_order_relaxed);
  note_drained_locked();
  lock_.unlock();
  if (any_work()) wake_if_needed();  // what it had taken is now for others
  worker.sleep_until_woken();
  return !ending_.load(std::memory_order_relaxed);
}

void ThreadCore::release_place(ThreadWorker& worker) noexcept {
  lock_.lock();
  if (worker.absences_++ == 0) {
    if (const unsigned surplus = surplus_.load(std::memory_order_relaxed); surplus > 0) {
      surplus_.store(surplus - 1, std::memory_order_relaxed);
    } else {
      ++open_places_;
      census_.fetch_add(Census::kIdle, std::memory_order_seq_cst);
    }
  }
  lock_.unlock();
  if (any_work()) wake_if_needed();
}

void ThreadCore::reacquire_place(ThreadWorker& worker) noexcept {
  lock_.lock();
  if (--worker.absences_ == 0) {
    if (open_places_ > 0) {
      --open_places_;
      census_.fetch_sub(Census::kIdle, std::memory_order_seq_cst);
    } else if (withheld_places_ > 0) {
      --withheld_places_;
    } else if (!sleepers_.empty()) {  // one that does nothing loses its place without noticing
      spares_.push_back(sleepers_.back());
      sleepers_.pop_back();
      census_.fetch_sub(Census::kIdle, std::memory_order_seq_cst);
    } else {
      surplus_.store(surplus_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
  }
  lock_.unlock();
}

void ThreadCore::overdue(ThreadWorker& worker) noexcept {
  lock_.lock();
  ++worker.overdue_;
  note_drained_locked();
  lock_.unlock();
  release_place(worker);
}

void ThreadCore::no_longer_overdue(ThreadWorker& worker) noexcept {
  lock_.lock();
  --worker.overdue_;
  lock_.unlock();
  reacquire_place(worker);
}

}  // namespace retinue::detail
